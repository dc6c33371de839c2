# embed.cmake: kernels and runtime as tlc_embedded_files (emit.h), in the C file TLC_EMBEDDED.
add_executable(embed_tool ${CMAKE_CURRENT_LIST_DIR}/embed_tool.c)
file(GLOB_RECURSE embedded RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_SOURCE_DIR}/kernels/*.h
    ${CMAKE_CURRENT_SOURCE_DIR}/runtime/*.c
    ${CMAKE_CURRENT_SOURCE_DIR}/runtime/*.h
    ${CMAKE_CURRENT_SOURCE_DIR}/runtime/*.def)
set(TLC_EMBEDDED ${CMAKE_CURRENT_BINARY_DIR}/gen/embedded.c)
list(TRANSFORM embedded PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE embedded_paths)
add_custom_command(
    OUTPUT ${TLC_EMBEDDED}
    COMMAND embed_tool ${TLC_EMBEDDED} ${CMAKE_CURRENT_SOURCE_DIR} ${embedded}
    DEPENDS embed_tool ${embedded_paths}
    COMMENT "kernels and runtime are put into tlc" VERBATIM)
