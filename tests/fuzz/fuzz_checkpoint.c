/* fuzz_checkpoint.c: any bytes as last.json and its safetensors: a status and a reason.
 *
 * Input: a byte of mode, then up to the first NUL the JSON, then the tensors' file.  Mode 1
 * seals the tensors with their right SHA-256 in a JSON of the harness, so that what lies
 * behind the checksum is reached too.  Needs tests/unit/tiny_model.h.
 */
#include "tiny_model.h"
#include "tlb_file.h"
#include "tlb_sha256.h"
#include "tlr_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static char folder[] = "/tmp/tlc-fuzz-XXXXXX";
static _Alignas(64) char weights[TINY_WEIGHTS_BYTES];

static void put(const char *name, const void *bytes, size_t n)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w"); /* no fsync: this is called many times */
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        abort();
}

static void put_sealed_json(const uint8_t *bytes, size_t n)
{
    char hex[TLB_SHA256_HEX_BYTES], json[512];
    tlb_sha256_of(bytes, n, hex);
    int length = snprintf(json, sizeof json,
                          "{\"schema\":\"tlc.checkpoint/1\",\"graph_sha256\":\"%s\","
                          "\"file\":\"last-1.safetensors\",\"sha256\":\"%s\",\"epoch\":0,"
                          "\"step\":1,\"position\":0,\"loss_sum\":0,\"correct\":0,"
                          "\"metrics_bytes\":0}",
                          tiny_model.graph_sha256, hex);
    put("last.json", json, (size_t)length);
}

static tlb_status read_nothing(void *self, int64_t sample, int64_t view, int reader, void *input)
{
    (void)self, (void)sample, (void)view, (void)reader, (void)input;
    return TLB_E_INTERNAL;
}

static void remove_folder(void)
{
    static const char *const names[] = { "last.json", "last-1.safetensors" };
    char path[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
    remove(folder);
}

static tlr_trainer *make(void)
{
    static const int32_t labels[1];
    const tlr_samples samples = { .n_train = 1, .labels = labels, .read = read_nothing };
    tlr_train_config c;
    tlr_trainer *t;
    tiny_weights(weights);
    tlr_train_config_init(&c, &tiny_model);
    c.names = tiny_names;
    if (!mkdtemp(folder) ||
        tlr_trainer_create(&tiny_model, weights, &samples, &c, NULL, &t) != TLB_OK)
        abort();
    atexit(remove_folder);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static tlr_trainer *t;
    if (!t)
        t = make();
    if (n < 1)
        return 0;
    const uint8_t *json = bytes + 1, *end = memchr(json, 0, n - 1);
    const uint8_t *tensors = end ? end + 1 : bytes + n;
    size_t n_json = end ? (size_t)(end - json) : n - 1, n_tensors = (size_t)(bytes + n - tensors);
    if (bytes[0] == 1)
        put_sealed_json(tensors, n_tensors);
    else
        put("last.json", json, n_json);
    put("last-1.safetensors", tensors, n_tensors);
    if (tlr_checkpoint_load(t, folder, TLR_LAST) != TLB_OK && !tlr_trainer_trouble(t)->what[0])
        abort();
    return 0;
}
