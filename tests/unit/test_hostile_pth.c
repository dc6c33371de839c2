/* test_hostile_pth.c: PyTorch files with one thing wrong, row by row: the code, the core of the
 * message and, where the file is good, the values; and the bound on time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostile_table.h"
#include "plain_build.h"
#include "pth_build.h"

#include <time.h>

enum { OK = TLC_OK, BAD = TLC_E_MALFORMED, NO = TLC_E_UNSUPPORTED, OVER = TLC_E_LIMIT };

typedef struct row row;
struct row {
    const char *name;
    int status;
    const char *core; /* of the error, or of the warning where status is 0; NULL: none */
    void (*edit)(pth *, const row *);
    const char *text; /* the row's own, `n` bytes of it (0: up to its NUL) */
    size_t n;
    int64_t v;
};

static size_t text_len(const row *r)
{
    return r->n ? r->n : strlen(r->text);
}

/* --- pickle -------------------------------------------------------------- */

static void front(pth *x, const row *r)
{
    put(&x->front, r->text, text_len(r));
}

/* A tensor on the stack, then the text. */
static void tensor_front(pth *x, const row *r)
{
    put_tensor(&x->front, &x->tensor[0], x->old);
    front(x, r);
}

static void repeated_front(pth *x, const row *r)
{
    put_text(&x->front, "N");
    for (int64_t i = 0; i < r->v; ++i)
        front(x, r);
}

static void tail(pth *x, const row *r)
{
    put(&x->tail, r->text, text_len(r));
}

static void no_stop(pth *x, const row *r)
{
    (void)r;
    x->no_stop = true;
}

static void protocol(pth *x, const row *r)
{
    x->protocol = (int)r->v;
}

/* "((storage, class, key" and then the row's end of the persistent id. */
static void persistent_id(pth *x, const row *r)
{
    put_text(&x->front, "(");
    put_unicode(&x->front, r->v ? "module" : "storage");
    put_text(&x->front, "ctorch\nFloatStorage\n");
    put_unicode(&x->front, "0");
    front(x, r);
}

static void put_doubled_tuple(bytes *b)
{
    put_text(b, ")");
    for (int i = 0; i < 64; ++i)
        put_text(b, "q\x05h\x05\x86");
}

static void put_list_in_itself(bytes *b)
{
    put_text(b, "]q\x06h\x06" "a");
}

static void root(pth *x, const row *r)
{
    put_text(&x->raw, "\x80\x02");
    if (r->v)
        put_list_in_itself(&x->raw);
    else
        put_doubled_tuple(&x->raw);
    put_text(&x->raw, ".");
}

static void extra_value(pth *x, const row *r)
{
    put_unicode(&x->extra, "extra");
    if (r->v)
        put_list_in_itself(&x->extra);
    else
        put_doubled_tuple(&x->extra);
}

static void only_extra(pth *x, const row *r)
{
    x->tensor[0].name = x->tensor[1].name = NULL;
    extra_value(x, r);
}

/* --- tensors ------------------------------------------------------------- */

static void size(pth *x, const row *r)
{
    x->tensor[0].size[0] = r->v;
}

static void stride(pth *x, const row *r)
{
    x->tensor[0].stride[0] = r->v;
}

static void offset(pth *x, const row *r)
{
    x->tensor[0].offset = r->v;
}

static void elems(pth *x, const row *r)
{
    x->tensor[0].elems = r->v;
}

static void overflow(pth *x, const row *r)
{
    x->tensor[0].size[0] = x->tensor[0].size[1] = r->v;
    x->tensor[0].stride[0] = x->tensor[0].stride[1] = 0;
}

static void storage(pth *x, const row *r)
{
    x->tensor[0].storage = r->text;
}

static void key(pth *x, const row *r)
{
    x->tensor[0].key = r->text;
}

static void name(pth *x, const row *r)
{
    x->tensor[r->v].name = r->text;
}

static void rebuild(pth *x, const row *r)
{
    x->tensor[0].rebuild = r->text;
}

/* --- zip ----------------------------------------------------------------- */

static void part_data(pth *x, const row *r)
{
    x->part[r->v].data.n = 0;
    put(&x->part[r->v].data, r->text, strlen(r->text));
}

static void part_name(pth *x, const row *r)
{
    x->part[r->v].name = r->text;
}

static void part_local_name(pth *x, const row *r)
{
    x->part[PART_0].local_name = r->text;
}

static void part_method(pth *x, const row *r)
{
    x->part[PART_0].method = (unsigned)r->v;
}

static void part_flags(pth *x, const row *r)
{
    x->part[PART_0].flags = (unsigned)r->v;
}

static void part_claim(pth *x, const row *r)
{
    x->part[PART_1].claim = r->v;
    x->part[PART_1].sizes_behind = true;
}

static void part_overlap(pth *x, const row *r)
{
    (void)r;
    x->part[PART_0].claim = 20; /* into the next header */
    x->part[PART_0].sizes_behind = true;
}

static void part_moved(pth *x, const row *r)
{
    x->part[PART_1].shift = r->v;
}

static void part_gone(pth *x, const row *r)
{
    free(x->part[r->v].data.p);
    for (int i = (int)r->v; i + 1 < x->n_parts; ++i)
        x->part[i] = x->part[i + 1];
    x->part[--x->n_parts] = (zip_part){ 0 };
}

static void part_more(pth *x, const row *r)
{
    x->part[x->n_parts++].name = r->text;
}

static void no_pickle(pth *x, const row *r)
{
    (void)r;
    x->part[PART_PICKLE].name = "net/other.pkl";
}

/* --- the format before 1.6 ----------------------------------------------- */

static void old(pth *x, const row *r)
{
    (void)r;
    x->old = true;
}

static void old_version(pth *x, const row *r)
{
    x->old = true;
    x->version = r->v;
}

static void old_count(pth *x, const row *r)
{
    x->old = true;
    x->count = r->v;
}

static void old_cut(pth *x, const row *r)
{
    x->old = true;
    x->cut = (size_t)r->v;
}

static void old_big_endian(pth *x, const row *r)
{
    (void)r;
    x->old = x->big_endian = true;
}

static void nothing(pth *x, const row *r)
{
    (void)x;
    (void)r;
}

/* --- rows ---------------------------------------------------------------- */

#define TEXT(s) s, sizeof s - 1
#define NUMBER(v) NULL, 0, v

static const row rows[] = {
    { "base", OK, NULL, nothing, NUMBER(0) },
    { "os system", NO, "global", front, TEXT("cos\nsystem\n"), 0 },
    { "builtins eval", NO, "global", front, TEXT("cbuiltins\neval\n"), 0 },
    { "ResNet", NO, "global", front, TEXT("ctorchvision.models.resnet\nResNet\n"), 0 },
    { "collections system", NO, "global", front, TEXT("ccollections\nsystem\n"), 0 },
    { "quantised", NO, "type", front, TEXT("ctorch._utils\n_rebuild_qtensor\n"), 0 },
    { "global without an end", BAD, "past end", tail, TEXT(""), 1 },
    { "REDUCE of a storage class", NO, "call", front, TEXT("ctorch\nFloatStorage\n)R"), 0 },
    { "REDUCE of a number", NO, "call", front, TEXT("K\x01)R"), 0 },
    { "REDUCE with a list", BAD, "arguments", front, TEXT("ccollections\nOrderedDict\n]R"), 0 },
    { "OrderedDict of 2", BAD, "arguments", front, TEXT("ccollections\nOrderedDict\nNN\x86R"), 0 },
    { "OrderedDict of no pairs", BAD, "arguments", front,
      TEXT("ccollections\nOrderedDict\n]Na\x85R"), 0 },
    { "tensor of nothing", BAD, "arguments", front, TEXT("ctorch._utils\n_rebuild_tensor\n)R"),
      0 },
    { "parameter of nothing", BAD, "arguments", front,
      TEXT("ctorch._utils\n_rebuild_parameter\n)R"), 0 },
    { "BUILD on a tensor", NO, "BUILD", tensor_front, TEXT("}b"), 0 },
    { "INST", NO, "opcode", front, TEXT("(ios\nsystem\n"), 0 },
    { "OBJ", NO, "opcode", front, TEXT("(o"), 0 },
    { "NEWOBJ", NO, "opcode", front, TEXT("\x81"), 0 },
    { "EXT1", NO, "opcode", front, TEXT("\x82\x01"), 0 },
    { "STACK_GLOBAL", NO, "opcode", front, TEXT("\x93"), 0 },
    { "PERSID", NO, "opcode", front, TEXT("P0\n"), 0 },
    { "LONG4 of size -1", NO, "opcode", front, TEXT("\x8b\xff\xff\xff\xff"), 0 },
    { "byte 0xff", BAD, "opcode", front, TEXT("\xff"), 0 },
    { "no STOP", BAD, "STOP", no_stop, NUMBER(0) },
    { "bytes after STOP", BAD, "STOP", tail, TEXT("N"), 0 },
    { "REDUCE on an empty stack", BAD, "stack", front, TEXT("R"), 0 },
    { "TUPLE2 of one", BAD, "stack", front, TEXT("N\x86"), 0 },
    { "TUPLE1 of a mark", BAD, "stack", front, TEXT("N(\x85"), 0 },
    { "TUPLE without MARK", BAD, "mark", front, TEXT("t"), 0 },
    { "BINGET of an unset index", BAD, "memo", front, TEXT("h\x77"), 0 },
    { "BINPUT on an empty stack", BAD, "stack", front, TEXT("q\x01"), 0 },
    { "SETITEM on a list", BAD, "SETITEM", front, TEXT("]NNs"), 0 },
    { "SETITEMS of one", BAD, "SETITEM", front, TEXT("}(Nu"), 0 },
    { "APPEND to a tensor", BAD, "APPEND", tensor_front, TEXT("Na"), 0 },
    { "APPENDS to a tensor", BAD, "APPEND", tensor_front, TEXT("(Ne"), 0 },
    { "BINUNICODE of 2^32-1", BAD, "past end", front, TEXT("X\xff\xff\xff\xff"), 0 },
    { "BINUNICODE not UTF-8", BAD, "UTF-8", front, TEXT("X\x01\0\0\0\xff"), 0 },
    { "BINUNICODE with NUL", BAD, "NUL", front, TEXT("X\x01\0\0\0\0"), 0 },
    { "LONG1 of 9 bytes", BAD, "integer", front, TEXT("\x8a\x09" "123456789"), 0 },
    { "persistent id an int", BAD, "persistent id", front, TEXT("K\x01Q"), 0 },
    { "persistent id of 4", BAD, "persistent id", persistent_id, TEXT("NtQ"), 0 },
    { "persistent id 'module'", BAD, "persistent id", persistent_id, TEXT("NK\x06tQ"), 1 },
    { "persistent id of -1", BAD, "persistent id", persistent_id, TEXT("N\x8a\x01\xfftQ"), 0 },
    { "persistent id, no number", BAD, "persistent id", persistent_id, TEXT("NNtQ"), 0 },
    { "persistent id, bad view", BAD, "persistent id", persistent_id, TEXT("NK\x06NNN\x87tQ"), 0 },
    { "persistent id, view outside", BAD, "persistent id", persistent_id,
      TEXT("NK\x06NK\x01K\x06\x87tQ"), 0 },
    { "300,000 NONE", OVER, "pickle-stack", repeated_front, "N", 0, 300000 },
    { "1,100,000 BINPUT 0", OVER, "pickle-ops", repeated_front, TEXT("q\0"), 1100000 },
    { "LONG_BINPUT 2^32-1", OVER, "pickle-ops", front, TEXT("Nr\xff\xff\xff\xff"), 0 },
    { "root a tuple", BAD, "not a state_dict", root, NUMBER(0) },
    { "root a list in itself", BAD, "not a state_dict", root, NUMBER(1) },
    { "extra tuple", OK, "extra", extra_value, NUMBER(0) },
    { "extra list in itself", OK, "extra", extra_value, NUMBER(1) },
    { "nothing but extra", BAD, "not a state_dict", only_extra, NUMBER(1) },
    { "PROTO 4", NO, "protocol", protocol, NUMBER(4) },

    { "size past storage", BAD, "outside its storage", size, NUMBER(3) },
    { "size 2^62", BAD, "outside its storage", size, NUMBER(INT64_C(1) << 62) },
    { "size -1", BAD, "dimension", size, NUMBER(-1) },
    { "stride past storage", BAD, "outside its storage", stride, NUMBER(4) },
    { "stride -1", BAD, "outside its storage", stride, NUMBER(-1) },
    { "stride 2^62", BAD, "outside its storage", stride, NUMBER(INT64_C(1) << 62) },
    { "offset -1", BAD, "outside its storage", offset, NUMBER(-1) },
    { "offset 1", BAD, "outside its storage", offset, NUMBER(1) },
    { "offset 2^62", BAD, "outside its storage", offset, NUMBER(INT64_C(1) << 62) },
    { "stride 0 of 2^40 elements", OVER, "elements", overflow, NUMBER(INT64_C(1) << 20) },
    { "stride 0 of 2^64 elements", BAD, "size overflows", overflow, NUMBER(INT64_C(1) << 32) },
    { "data/0 claimed longer", BAD, "data/0", elems, NUMBER(7) },
    { "data/0 of 2^62", BAD, "data/0", elems, NUMBER(INT64_C(1) << 62) },
    { "no data/9", BAD, "data/9", key, TEXT("9"), 0 },
    { "key ../0", BAD, "no entry", key, TEXT("../0"), 0 },
    { "_rebuild_tensor", OK, NULL, rebuild, TEXT("_rebuild_tensor"), 0 },
    { "fc.weight missing", NO, "fc.weight", name, TEXT("gc.weight"), 0 },
    { "fc.bias missing", NO, "fc.bias", name, NULL, 0, 1 },
    { "name twice", BAD, "twice", name, TEXT("fc.weight"), 1 },
    { "wrong shape", NO, "shape", size, NUMBER(1) },
    { "qint8", NO, "type", storage, TEXT("QInt8Storage"), 0 },
    { "bytes", NO, "type", storage, TEXT("ByteStorage"), 0 },

    { "deflated", NO, "compressed", part_method, NUMBER(8) },
    { "encrypted", BAD, "zip entry", part_flags, NUMBER(1) },
    { "overlap", BAD, "zip entry", part_overlap, NUMBER(0) },
    { "local name differs", BAD, "zip entry", part_local_name, TEXT("net/data/9"), 0 },
    { "zip name twice", BAD, "zip entry", part_name, TEXT("net/data/1"), PART_0 },
    { "../x", BAD, "zip entry", part_more, TEXT("net/../x"), 0 },
    { "..", BAD, "zip entry", part_more, TEXT("net/.."), 0 },
    { "/x", BAD, "zip entry", part_more, TEXT("/x"), 0 },
    { "a\\b", BAD, "zip entry", part_more, TEXT("net/a\\b"), 0 },
    { "no folder", BAD, "zip entry", part_more, TEXT("x"), 0 },
    { "two top folders", BAD, "zip entry", part_more, TEXT("other/x"), 0 },
    { "past end", BAD, "zip entry", part_claim, NUMBER(1000000) },
    { "offset past end", BAD, "zip entry", part_moved, NUMBER(1000000) },
    { "offset of no header", BAD, "zip entry", part_moved, NUMBER(-1) },
    { "no data.pkl", BAD, "data.pkl", no_pickle, NUMBER(0) },
    { "no data/0", BAD, "data/0", part_gone, NUMBER(PART_0) },
    { "data/0 short", BAD, "data/0", part_data, TEXT("123"), PART_0 },
    { "byteorder x", BAD, "byteorder", part_data, TEXT("x"), PART_ORDER },
    { "byteorder big", NO, "big-endian", part_data, TEXT("big"), PART_ORDER },
    { "no byteorder", OK, NULL, part_gone, NUMBER(PART_ORDER) },
    { "TorchScript", NO, "TorchScript", part_more, TEXT("net/constants.pkl"), 0 },

    { "old", OK, NULL, old, NUMBER(0) },
    { "old: protocol 1002", NO, "version", old_version, NUMBER(1002) },
    { "old: storage cut", BAD, "past end", old_cut, NUMBER(1) },
    { "old: count cut", BAD, "past end", old_cut, NUMBER(9) },
    { "old: count -1", BAD, "count", old_count, NUMBER(-1) },
    { "old: count 2^62", BAD, "count", old_count, NUMBER(INT64_C(1) << 62) },
    { "old: little_endian False", NO, "big-endian", old_big_endian, NUMBER(0) },
};

static const float base_weight[] = { 1, 2, 3, 4, 5, 6 };

static void check_values(const weights_run *r, const char *name, const float *want)
{
    const tlc_value *v = tlc_global_find(r->module, name);
    for (int64_t i = 0; i < tlc_shape_elems(&v->shape); ++i)
        assert_true((float)tlc_data_f64(v, i) == want[i]);
}

static void expect(pth *x, const char *what, int status, const char *core, const float *want)
{
    weights_run r;
    clock_t start = clock();
    run_weights(&r, linear_network, pth_bytes(x), "w.pth");
    if (IS_PLAIN_BUILD)
        assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 2);
    table_row((int)r.status, what, r.ctx.diags, r.ctx.n_diags, NULL);
    if (!run_is(&r, status, core)) {
        printf("%s: wanted %d \"%s\"\n", what, status, core ? core : "");
        show_run(&r);
        fail();
    }
    if (status == OK)
        check_values(&r, "fc.weight", want);
    tlc_ctx_fini(&r.ctx);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        pth x = base_pth();
        rows[i].edit(&x, &rows[i]);
        if (rows[i].edit == tail && !rows[i].n) { /* the last bytes of data.pkl are a name's */
            x.no_stop = true;
            put_text(&x.tail, "ctorch\nFloat");
        }
        expect(&x, rows[i].name, rows[i].status, rows[i].core, base_weight);
    }
}

/* Every good form gives the values that torch would give. */
static void test_good_forms(void **state)
{
    static const float repeated[] = { 1, 2, 3, 1, 2, 3 }, turned[] = { 1, 3, 5, 2, 4, 6 };
    (void)state;
    pth x = base_pth();
    x.tensor[0].stride[0] = 0;
    expect(&x, "stride 0", OK, NULL, repeated);
    x = base_pth();
    x.tensor[0].stride[0] = 1;
    x.tensor[0].stride[1] = 2;
    expect(&x, "transposed", OK, NULL, turned);
    x = base_pth();
    x.tensor[1].key = "0"; /* two views of one storage */
    x.tensor[1].elems = 6;
    x.tensor[1].offset = 4;
    expect(&x, "shared storage", OK, NULL, base_weight);
    x = base_pth();
    x.zip64 = true;
    for (int i = 0; i < x.n_parts; ++i)
        x.part[i].zip64 = true;
    expect(&x, "zip64", OK, NULL, base_weight);
    x = base_pth();
    for (int i = 0; i < x.n_parts; ++i) {
        x.part[i].flags = 0x800;
        x.part[i].sizes_behind = true;
    }
    expect(&x, "flags 0x808", OK, NULL, base_weight); /* and its CRC is wrong, as everywhere here */
}

/* nn.DataParallel names everything below "module."; some such names are a network's own. */
static void test_prefix(void **state)
{
    (void)state;
    pth x = base_pth();
    x.tensor[0].name = "module.fc.weight";
    x.tensor[1].name = "module.fc.bias";
    expect(&x, "module.", OK, NULL, base_weight);
    x = base_pth();
    x.tensor[0].name = "module.fc.weight";
    expect(&x, "module. of some", NO, "fc.weight", NULL);
}

static void expect_raw(const void *p, size_t n, const char *path, int status, const char *core)
{
    weights_run r;
    bytes b = { 0 };
    put(&b, p, n);
    run_weights(&r, linear_network, b, path);
    table_row((int)r.status, path, r.ctx.diags, r.ctx.n_diags, NULL);
    if (!run_is(&r, status, core)) {
        printf("%s: wanted %d \"%s\"\n", path, status, core);
        show_run(&r);
        fail();
    }
    tlc_ctx_fini(&r.ctx);
}

static void test_other_files(void **state)
{
    static char tar[512] = "sys_info";
    (void)state;
    memcpy(tar + 257, "ustar  ", 8);
    expect_raw(tar, sizeof tar, "resnet.pth", NO, "tar");
    expect_raw("", 0, "empty.pth", BAD, "empty file");
    expect_raw("hello", 5, "hello.pth", BAD, "neither");
    expect_raw("\x1f\x8b\x08\0", 4, "w.pth", BAD, "gzip");
    expect_raw("version https://git-lfs.github.com/spec/v1", 42, "w.pth", BAD, "Git LFS");
    expect_raw("PK\3\4", 4, "w.pth", BAD, "zip directory");
}

/* Cut anywhere, a file is refused and never read past its end. */
static void test_cut(void **state)
{
    (void)state;
    for (int old = 0; old < 2; ++old) {
        pth x = base_pth();
        x.old = old;
        bytes whole = pth_bytes(&x);
        for (size_t n = 0; n < whole.n; ++n) {
            weights_run r;
            bytes b = { 0 };
            put(&b, whole.p, n);
            run_weights(&r, linear_network, b, "w.pth");
            if (r.status != TLC_E_MALFORMED)
                show_run(&r);
            assert_int_equal(r.status, TLC_E_MALFORMED);
            tlc_ctx_fini(&r.ctx);
        }
        free(whole.p);
    }
}

/* Exact lines, and no row less. */
static void test_table(void **state)
{
    (void)state;
    table_end("pth");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),        cmocka_unit_test(test_good_forms),
        cmocka_unit_test(test_prefix),      cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_cut),         cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
