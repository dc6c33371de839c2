/* build.c: Makefile and CMakeLists.txt of the compiled folder.
 *
 * libNAME.a holds the model and runtime/infer and needs libc and libm, and OpenBLAS if a kernel
 * calls it.  Where there is something to train, libNAME_train.a holds tlr_train.h's functions and
 * the engine below them, which needs no more, and libNAME_photos.a picture files.  The other
 * runtime files go into an archive of tools; trainer and predictor take what they use of all.
 * A missing package is named before anything is compiled, all that lack at once.
 */
#include "emit_parts.h"

#include <string.h>

/* Libraries of the system: how to see that one is there, and what to link. */
static const struct package {
    const char *header, *debian, *link;
} packages[] = {
    { "xxhash.h", "libxxhash-dev", NULL }, /* used as a header alone */
    { "jpeglib.h", "libjpeg-dev", "jpeg" },
    { "png.h", "libpng-dev", "png" },
    { "jansson.h", "libjansson-dev", "jansson" },
    { "nettle/sha2.h", "nettle-dev", "nettle" },
    { "cblas.h", "libopenblas-dev", "openblas" }, /* the one that a kernel wants: --blas openblas */
};
enum { N_PACKAGES = sizeof packages / sizeof packages[0] };

/* What becomes of a source file. */
typedef enum part { PART_NONE, PART_LIBRARY, PART_TRAIN, PART_PHOTOS, PART_TOOLS } part;

/* Where files of these paths go; others are tools. */
static const struct place {
    const char *path;
    part part;
} places[] = {
    { "runtime/infer/", PART_LIBRARY },        { "runtime/cuda/", PART_LIBRARY },
    { "runtime/train/", PART_TRAIN },          { "runtime/base/tlb_file.c", PART_TRAIN },
    { "runtime/base/tlb_limits.c", PART_TRAIN }, { "runtime/photos/", PART_PHOTOS },
    { "runtime/image/", PART_PHOTOS },
};

static part part_of(const tlc_emission *e, const char *path)
{
    if (!tlc_ends_with(path, ".c") || tlc_ends_with(path, "_main.c"))
        return PART_NONE;
    for (size_t i = 0; i < sizeof places / sizeof *places; ++i)
        if (tlc_starts_with(path, places[i].path) && (e->step || places[i].part == PART_LIBRARY))
            return places[i].part;
    return PART_TOOLS;
}

static void w_files(tlc_cwriter *w, const tlc_emission *e, const tlc_sources *s, part p,
                    const char *before)
{
    for (size_t i = 0; i < s->n; ++i)
        if (part_of(e, s->file[i]->path) == p)
            tlc_w(w, "%ssrc/%s", before, s->file[i]->path);
}

/* Call for each folder of sources once; `s` is sorted, so files of one folder are neighbours. */
static void w_folders(tlc_cwriter *w, const tlc_sources *s, const char *before)
{
    size_t last_len = 0;
    const char *last = "";
    for (size_t i = 0; i < s->n; ++i) {
        const char *path = s->file[i]->path;
        size_t len = (size_t)(tlc_base_name(path) - path) - 1;
        if (len == last_len && memcmp(path, last, len) == 0)
            continue;
        tlc_w(w, "%ssrc/%.*s", before, (int)len, path);
        last = path;
        last_len = len;
    }
}

/* What the sources under `folder` link. */
static void w_links(tlc_cwriter *w, const tlc_sources *s, const char *folder, const char *before)
{
    for (size_t i = 0; i < N_PACKAGES; ++i)
        if (packages[i].link && tlc_sources_use(s, folder, packages[i].header))
            tlc_w(w, "%s%s", before, packages[i].link);
}

/* What the programs do without where it is not installed. */
static bool draws(const tlc_sources *s)
{
    return tlc_sources_use(s, "", "cairo.h");
}

static const char make_cairo[] =
    "# The trainer draws with cairo where that is installed (make CAIRO=no: no pictures).\n"
    "CAIRO ?= $(shell pkg-config --exists cairo 2>/dev/null && echo yes)\n"
    "ifeq ($(CAIRO),yes)\n"
    "override CPPFLAGS += -DTLR_HAVE_CAIRO $(shell pkg-config --cflags cairo)\n"
    "trainer: LDLIBS += $(shell pkg-config --libs cairo)\n"
    "endif\n";

static const char cmake_cairo[] =
    "# The trainer draws with cairo where that is installed.\n"
    "find_package(PkgConfig)\n"
    "if(PKG_CONFIG_FOUND)\n"
    "    pkg_check_modules(CAIRO IMPORTED_TARGET cairo)\n"
    "endif()\n"
    "if(CAIRO_FOUND)\n"
    "    target_compile_definitions(tools PRIVATE TLR_HAVE_CAIRO)\n"
    "    target_link_libraries(tools PkgConfig::CAIRO)\n"
    "endif()\n";

/* As NVRTC is asked (tlr_cuda_compile.c), for every device that is served. */
#define NVCC_OPTIONS "-std=c++20 --fmad=false -fatbin"

static const char make_cuda[] =
    "# make CUDA=1: nvcc compiles the kernels now, for these devices and as PTX for later ones, and\n"
    "# the programs carry them; else they are compiled where they first run.\n"
    "ifeq ($(CUDA),1)\n"
    "NVCC ?= $(shell command -v nvcc || echo /usr/local/cuda/bin/nvcc)\n"
    "CUDA_ARCH ?= %s\n"
    "NVCC_CODE = $(foreach a,$(CUDA_ARCH),-gencode=arch=compute_$(a),code=sm_$(a)) \\\n"
    "    $(foreach a,$(lastword $(CUDA_ARCH)),-gencode=arch=compute_$(a),code=compute_$(a))\n"
    "obj/model.fatbin: model.cu $(wildcard src/kernels/cuda/*.h) obj/library.checked\n"
    "\t$(NVCC) " NVCC_OPTIONS " $(NVCC_CODE) -Isrc/kernels/cuda -o $@ $<\n"
    "obj/model.o: override CPPFLAGS += '-DTLR_CUDA_FATBIN=\"obj/model.fatbin\"'\n"
    "obj/model.o: obj/model.fatbin\n"
    "endif\n";

static const char cmake_cuda[] =
    "# -DCUDA=ON: as make CUDA=1.\n"
    "option(CUDA \"compile the kernels now, with nvcc\" OFF)\n"
    "set(CUDA_ARCH %s CACHE STRING \"devices to compile for\")\n"
    "if(CUDA)\n"
    "    find_program(NVCC nvcc PATHS /usr/local/cuda/bin)\n"
    "    foreach(arch ${CUDA_ARCH})\n"
    "        list(APPEND NVCC_CODE -gencode=arch=compute_${arch},code=sm_${arch})\n"
    "        set(newest -gencode=arch=compute_${arch},code=compute_${arch})\n"
    "    endforeach()\n"
    "    file(GLOB kernels ${CMAKE_SOURCE_DIR}/src/kernels/cuda/*.h)\n"
    "    set(fatbin ${CMAKE_BINARY_DIR}/model.fatbin)\n"
    "    separate_arguments(nvcc_options UNIX_COMMAND \"" NVCC_OPTIONS "\")\n"
    "    add_custom_command(OUTPUT ${fatbin} DEPENDS model.cu ${kernels} COMMAND ${NVCC}\n"
    "        ${nvcc_options} ${NVCC_CODE} ${newest} -I${CMAKE_SOURCE_DIR}/src/kernels/cuda\n"
    "        -o ${fatbin} ${CMAKE_SOURCE_DIR}/model.cu)\n"
    "    set_source_files_properties(model.c PROPERTIES OBJECT_DEPENDS ${fatbin}\n"
    "        COMPILE_DEFINITIONS \"TLR_CUDA_FATBIN=\\\"${fatbin}\\\"\")\n"
    "endif()\n";

static bool is_cuda(const tlc_emission *e)
{
    return e->spec->options->target == TLC_TARGET_CUDA;
}

/* Compute capabilities that cubins are made for. */
static const char *architectures(const tlc_emission *e)
{
    return tlc_emit_cuda_on_matrix_units(e) ? "80 86 89 90" : "75 80 86 89 90";
}

/* HEADER:PACKAGE of what the sources under `folder` include. */
static void w_needs(tlc_cwriter *w, const tlc_sources *s, const char *folder)
{
    for (size_t i = 0; i < N_PACKAGES; ++i)
        if (tlc_sources_use(s, folder, packages[i].header))
            tlc_w(w, " %s:%s", packages[i].header, packages[i].debian);
}

static const char checks[] =
    "# A header that is not found names its package; all that lack are named at once.\n"
    "define check\n"
    "@mkdir -p obj\n"
    "@lack=; for pair in $(1); do \\\n"
    "    printf '\\043include <stdio.h>\\n\\043include <%s>\\n' \"$${pair%%:*}\" | \\\n"
    "        $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 || lack=\"$$lack $${pair#*:}\"; done; \\\n"
    "if [ -n \"$$lack\" ]; then \\\n"
    "    echo \"error: not installed:$$lack; Debian: apt-get install$$lack\" >&2; exit 3; fi\n"
    "@touch $@\n"
    "endef\n";

static const char rules[] =
    "$(LIBRARY): $(LIBRARY_OBJ)\n"
    "\trm -f $@\n"
    "\t$(AR) rcs $@ $(LIBRARY_OBJ)\n\n"
    "$(TRAIN_LIBRARY): $(TRAIN_OBJ)\n"
    "\trm -f $@\n"
    "\t$(AR) rcs $@ $(TRAIN_OBJ)\n\n"
    "$(PHOTOS_LIBRARY): $(PHOTOS_OBJ)\n"
    "\trm -f $@\n"
    "\t$(AR) rcs $@ $(PHOTOS_OBJ)\n\n"
    "obj/libtools.a: $(TOOLS_OBJ)\n"
    "\trm -f $@\n"
    "\t$(AR) rcs $@ $(TOOLS_OBJ)\n\n"
    "$(PROGRAMS): %: obj/%_main.o obj/the_model.o obj/libtools.a $(LIBRARIES)\n"
    "\t$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lpthread -lm\n\n"
    "$(LIBRARY_OBJ) $(TRAIN_OBJ) obj/the_model.o: obj/%.o: %.c obj/library.checked\n"
    "\t$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<\n\n"
    "$(PHOTOS_OBJ) $(TOOLS_OBJ) $(PROGRAMS:%=obj/%_main.o): obj/%.o: %.c obj/tools.checked\n"
    "\t$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<\n\n"
    "obj/library.checked:\n"
    "\t$(call check,$(LIBRARY_NEEDS))\n\n"
    "obj/tools.checked:\n"
    "\t$(call check,$(TOOLS_NEEDS))\n\n"
    "clean:\n"
    "\trm -rf obj $(LIBRARIES) trainer predictor\n\n"
    "-include $(wildcard obj/*.d)\n"
    ".PHONY: all clean\n";

static void w_variables(const tlc_emission *e, tlc_cwriter *w, const tlc_sources *s)
{
    tlc_w(w,
          "CC ?= cc\nAR ?= ar\nARCH ?= -march=native\nCFLAGS ?= -O2\n"
          "# Bits are a promise: a multiply-add is fused where a kernel says so and nowhere else.\n"
          "ALL_CFLAGS = $(CFLAGS) $(ARCH) -std=gnu11 -ffp-contract=off -Wall -Wextra\n"
          "override CPPFLAGS += -I.");
    w_folders(w, s, " \\\n    -I");
    tlc_w(w, "\n\nLIBRARY = lib%s.a\nLIBRARY_SRC = model.c%s", e->spec->name,
          e->cpu ? " model_cpu.c" : "");
    w_files(w, e, s, PART_LIBRARY, " \\\n    ");
    if (e->step) {
        tlc_w(w, "\nTRAIN_LIBRARY = lib%s_train.a\nTRAIN_SRC =", e->spec->name);
        w_files(w, e, s, PART_TRAIN, " \\\n    ");
        tlc_w(w, "\nPHOTOS_LIBRARY = lib%s_photos.a\nPHOTOS_SRC =", e->spec->name);
        w_files(w, e, s, PART_PHOTOS, " \\\n    ");
    }
    tlc_w(w, "\nTOOLS_SRC =");
    w_files(w, e, s, PART_TOOLS, " \\\n    ");
    tlc_w(w, "\nLIBRARIES = $(PHOTOS_LIBRARY) $(TRAIN_LIBRARY) $(LIBRARY)\n"
             "LIBRARY_OBJ = $(patsubst %%.c,obj/%%.o,$(notdir $(LIBRARY_SRC)))\n"
             "TRAIN_OBJ = $(patsubst %%.c,obj/%%.o,$(notdir $(TRAIN_SRC)))\n"
             "PHOTOS_OBJ = $(patsubst %%.c,obj/%%.o,$(notdir $(PHOTOS_SRC)))\n"
             "TOOLS_OBJ = $(patsubst %%.c,obj/%%.o,$(notdir $(TOOLS_SRC)))\n"
             "PROGRAMS = %spredictor\nLDLIBS =",
          e->step ? "trainer " : "");
    w_links(w, s, "", " -l");
    tlc_w(w, "\nLIBRARY_NEEDS =");
    w_needs(w, s, "runtime/infer/");
    w_needs(w, s, "kernels/");
    tlc_w(w, "\nTOOLS_NEEDS =");
    w_needs(w, s, "");
    tlc_w(w, "\nvpath %%.c src");
    w_folders(w, s, " ");
    tlc_w(w, "\n\n");
    if (draws(s))
        tlc_w(w, "%s\n", make_cairo);
}

const char *tlc_emit_makefile(const tlc_emission *e, const tlc_sources *s)
{
    tlc_cwriter w = tlc_cwriter_make(&e->ctx->arena);
    tlc_w(&w, "# Written by tlc %s.  Do not edit.  Builds %spredictor, lib%s.a%s;\n"
              "# make ARCH=-march=x86-64-v3 builds for another machine.\n",
          TLC_VERSION, e->step ? "trainer, " : "", e->spec->name,
          e->step ? " and what it trains with" : "");
    w_variables(e, &w, s);
    tlc_w_bytes(&w, checks, sizeof checks - 1);
    tlc_w(&w, "\nall: $(PROGRAMS) $(LIBRARIES)\n\n");
    tlc_w_bytes(&w, rules, sizeof rules - 1);
    if (is_cuda(e))
        tlc_w(&w, "\n"), tlc_w(&w, make_cuda, architectures(e)), tlc_w(&w, "\n");
    /* `all` comes first for make, whatever the order of the definitions above. */
    tlc_w(&w, ".DEFAULT_GOAL = all\n");
    return w.text;
}

/* Opens with the end of what came before, and leaves its own last line open. */
static void w_cmake_training(tlc_cwriter *w, const tlc_emission *e, const tlc_sources *s)
{
    static const struct { part part; const char *name, *links; } parts[] = {
        { PART_TRAIN, "train", "compiled_model" },
        { PART_PHOTOS, "photos", "compiled_train" },
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) {
        const char *name = parts[i].name;
        tlc_w(w, ")\nadd_library(compiled_%s STATIC", name);
        w_files(w, e, s, parts[i].part, "\n    ");
        tlc_w(w, ")\nset_target_properties(compiled_%s PROPERTIES OUTPUT_NAME %s_%s)\n"
                 "target_link_libraries(compiled_%s %s",
              name, e->spec->name, name, name, parts[i].links);
    }
    w_links(w, s, "runtime/image/", " ");
}

const char *tlc_emit_cmake(const tlc_emission *e, const tlc_sources *s)
{
    tlc_cwriter w = tlc_cwriter_make(&e->ctx->arena);
    tlc_w(&w, "# Written by tlc %s.  Do not edit.  The same targets as the Makefile's.\n"
              "cmake_minimum_required(VERSION 3.16)\nproject(tlc_compiled C)\n"
              "set(ARCH -march=native CACHE STRING \"instruction set\")\n"
              "add_compile_options(-O2 ${ARCH} -std=gnu11 -ffp-contract=off -Wall -Wextra)\n"
              "include_directories(.",
          TLC_VERSION);
    w_folders(&w, s, "\n    ");
    tlc_w(&w, ")\n");
    if (is_cuda(e))
        tlc_w(&w, cmake_cuda, architectures(e));
    tlc_w(&w, "add_library(compiled_model STATIC model.c%s", e->cpu ? " model_cpu.c" : "");
    w_files(&w, e, s, PART_LIBRARY, "\n    ");
    tlc_w(&w, ")\nset_target_properties(compiled_model PROPERTIES OUTPUT_NAME %s)\n"
              "target_link_libraries(compiled_model pthread m",
          e->spec->name);
    w_links(&w, s, "kernels/", " ");
    if (e->step)
        w_cmake_training(&w, e, s);
    tlc_w(&w, ")\nadd_library(tools STATIC");
    w_files(&w, e, s, PART_TOOLS, "\n    ");
    tlc_w(&w, ")\ntarget_link_libraries(tools %scompiled_model",
          e->step ? "compiled_photos compiled_train " : "");
    w_links(&w, s, "", " ");
    tlc_w(&w, ")\n%sforeach(program %spredictor)\n"
              "    add_executable(${program} src/runtime/cli/${program}_main.c src/the_model.c)\n"
              "    target_link_libraries(${program} tools)\nendforeach()\n",
          draws(s) ? cmake_cairo : "", e->step ? "trainer " : "");
    return w.text;
}
