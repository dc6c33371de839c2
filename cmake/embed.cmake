# embed.cmake: files that tlc carries, as tables in C: kernels and runtime, which it copies into its
# output (tlc_embedded_files, emit.h), and the built-in networks (tlc_builtin_files, builtin.c).
add_executable(embed_tool ${CMAKE_CURRENT_LIST_DIR}/embed_tool.c)

# tlc_embed(OUT NAME FILE...): FILEs below the source's root as the table tlc_NAME_files in OUT.
function(tlc_embed out name)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE paths)
    add_custom_command(
        OUTPUT ${out}
        COMMAND embed_tool ${out} ${name} ${CMAKE_CURRENT_SOURCE_DIR} ${ARGN}
        DEPENDS embed_tool ${paths}
        COMMENT "${name} files are put into tlc" VERBATIM)
endfunction()

file(GLOB_RECURSE embedded RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_SOURCE_DIR}/kernels/*.h
    ${CMAKE_CURRENT_SOURCE_DIR}/runtime/*.c
    ${CMAKE_CURRENT_SOURCE_DIR}/runtime/*.h
    ${CMAKE_CURRENT_SOURCE_DIR}/runtime/*.def)
set(TLC_EMBEDDED ${CMAKE_CURRENT_BINARY_DIR}/gen/embedded_sources.c)
tlc_embed(${TLC_EMBEDDED} embedded ${embedded})

file(GLOB builtin RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_SOURCE_DIR}/models/*.tir)
set(TLC_BUILTIN ${CMAKE_CURRENT_BINARY_DIR}/gen/builtin_models.c)
tlc_embed(${TLC_BUILTIN} builtin ${builtin})
