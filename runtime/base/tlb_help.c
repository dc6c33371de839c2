/* tlb_help.c: examples first, then what the tables say. */
#include "tlb_help.h"

#include <string.h>

static const struct {
    tlb_program program;
    const char *purpose;
    const char *examples;
} programs[] = {
    { TLB_PROGRAM_TLC, "Compiles image networks to C that trains, predicts, embeds.",
      "  tlc compile net.onnx --replace-head 2 --freeze-backbone -o build/catdog\n"
      "  make -C build/catdog && build/catdog/trainer train photos\n" },
    { TLB_PROGRAM_TRAINER, "Trains the compiled network and uses what it learned.",
      "  trainer train photos --epochs 10 --lr 1e-4 --out build/run\n"
      "  trainer predict --run build/run a.jpg\n"
      "  trainer export --run build/run -o build/app\n" },
    { TLB_PROGRAM_PREDICTOR, "Runs the compiled network.",
      "  predictor infer --input x.npy --output y.npy\n"
      "  predictor classify --weights build/app/weights.bin a.jpg\n"
      "  predictor bench --batch 16 --seconds 3\n" },
};

static const struct {
    tlb_command command;
    const char *text;
} examples[] = {
    { TLB_CMD_COMPILE, "  tlc compile net.onnx --replace-head 2 --freeze-backbone -o build/catdog\n"
                       "  tlc compile vgg16 --weights vgg16.pth --replace-head vgg -o build/v\n" },
    { TLB_CMD_FIT, "  tlc fit net.onnx photos -o build/net\n" },
    { TLB_CMD_SPLIT, "  tlc split kaggle/train -o photos\n"
                     "  tlc split kaggle/train -o photos --valid 500 --copy\n" },
    { TLB_CMD_INSPECT, "  tlc inspect net.onnx\n" },
    { TLB_CMD_EXPLAIN, "  tlc explain net.onnx --replace-head 2 --freeze-until /layer4\n"
                       "  tlc explain vgg16 --classes 2 --picture memory.png\n" },
    { TLB_CMD_VERIFY, "  tlc verify net.onnx --input x.npy\n" },
    { TLB_CMD_OPT, "  tlc opt --pass canonicalise --pass fold_bn net.tir\n" },
    { TLB_CMD_COMPARE, "  tlc compare runs/*\n"
                       "  tlc compare build/run-a build/run-b -o build/compare.png\n" },
    { TLB_CMD_TRAIN, "  trainer train photos --epochs 10 --lr 1e-4 --out build/run\n"
                     "  trainer train photos --out build/run --resume\n" },
    { TLB_CMD_EVAL, "  trainer eval photos/valid --run build/run\n" },
    { TLB_CMD_PREDICT, "  trainer predict --run build/run a.jpg b.png --csv\n"
                       "  trainer predict --run build/run folder --csv\n" },
    { TLB_CMD_EXPORT, "  trainer export --run build/run -o build/app\n" },
    { TLB_CMD_REPORT, "  trainer report --run build/run\n" },
    { TLB_CMD_PREVIEW, "  trainer preview photos -o preview.png\n" },
    { TLB_CMD_INFER, "  predictor infer --input x.npy --output y.npy --value features\n" },
    { TLB_CMD_CLASSIFY, "  predictor classify --weights build/app/weights.bin a.jpg\n" },
    { TLB_CMD_BENCH, "  predictor bench --batch 16 --seconds 3\n" },
};

static void bold(FILE *out, const char *text, bool color)
{
    fprintf(out, color ? "\033[1m%s\033[0m" : "%s", text);
}

void tlb_help_program(FILE *out, tlb_program p, bool color)
{
    bold(out, "Usage:", color);
    fprintf(out, " %s COMMAND ARGUMENT... [OPTION]...\n%s\n\n%s\n", tlb_program_name(p),
            programs[p].purpose, programs[p].examples);
    for (int i = 0; i < TLB_CMD_COUNT; ++i)
        if (tlb_commands[i].program == p)
            fprintf(out, "%-10s%s\n", tlb_commands[i].name, tlb_commands[i].summary);
    fputs("\n-o, --out PATH  place of the result   -q, --quiet   no progress, no report\n"
          "--json          result as JSON        --color WHEN  auto, always, never\n"
          "--limit NAME=N  change a limit        --version     -h, --help\n",
          out);
}

static void usage_line(FILE *out, tlb_program p, tlb_command c, bool color)
{
    const tlb_command_row *row = &tlb_commands[c];
    bold(out, "Usage:", color);
    fprintf(out, " %s %s%s%s [OPTION]...\n%c%s.\n\n", tlb_program_name(p), row->name,
            *row->arguments ? " " : "", row->arguments, row->summary[0] - 'a' + 'A',
            row->summary + 1);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; ++i)
        if (examples[i].command == c)
            fprintf(out, "%s\n", examples[i].text);
}

static void option_line(FILE *out, const tlb_option_row *o)
{
    char left[64];
    const char *no = o->kind == TLB_KIND_FLAG && o->value && !strcmp(o->value, "true") ? "no-" : "";
    int n = snprintf(left, sizeof left, "%s--%s%s", o->letter ? "-" : "", no, o->name);
    if (o->letter)
        n = snprintf(left, sizeof left, "-%c, --%s", o->letter, o->name);
    if (o->arg)
        snprintf(left + n, sizeof left - (size_t)n, " %s", o->arg);
    fprintf(out, "  %-26s %s", left, o->help);
    if (o->value && *o->value && o->kind != TLB_KIND_FLAG)
        fprintf(out, " (%s)", o->value);
    fputc('\n', out);
}

static bool serves(const tlb_option_row *o, tlb_command c, bool common)
{
    return (o->commands >> c & 1) && (o->commands == UINT64_MAX) == common;
}

void tlb_help_command(FILE *out, tlb_program p, tlb_command c, bool color)
{
    usage_line(out, p, c, color);
    for (int i = 0; i < TLB_OPT_COUNT; ++i)
        if (serves(&tlb_option_rows[i], c, false))
            option_line(out, &tlb_option_rows[i]);
    fprintf(out, "\nEvery option: %s help %s\n", tlb_program_name(p), tlb_commands[c].name);
}

void tlb_help_all(FILE *out, tlb_program p, tlb_command c, bool color)
{
    usage_line(out, p, c, color);
    for (int common = 0; common < 2; ++common) {
        for (int i = 0; i < TLB_OPT_COUNT; ++i)
            if (serves(&tlb_option_rows[i], c, common))
                option_line(out, &tlb_option_rows[i]);
        fputc('\n', out);
    }
    fputs("Exit codes:\n", out);
#define TLB_STATUS(NAME, code, name, meaning) fprintf(out, "  %d  %-12s %s\n", code, name, meaning);
#include "tlb_status.def"
#undef TLB_STATUS
    fputs("\nLimits (--limit NAME=N):\n", out);
#define TLB_LIMIT(NAME, name, value, counts) \
    fprintf(out, "  %-15s %12lld  %s\n", name, (long long)(value), counts);
#include "tlb_limits.def"
#undef TLB_LIMIT
}
