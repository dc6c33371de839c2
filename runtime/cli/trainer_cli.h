/* trainer_cli.h: what the commands of `trainer` share. */
#ifndef TRAINER_CLI_H
#define TRAINER_CLI_H

#include "tlb_file.h"
#include "tlb_json.h"
#include "tlb_options.h"
#include "tlr_cli.h"
#include "trainer_augment.h"
#include "tlr_run.h"

/* The commands (trainer_COMMAND.c).  argv: for run.json and the hints. */
typedef struct trainer {
    tlb_args *args;
    int argc;
    char **argv;
    tlb_map weights;          /* of the compiled folder, checked */
    json_t *manifest;
    const char **names;       /* of the model's tensors */
} trainer;

tlb_status trainer_train(trainer *t);
tlb_status trainer_eval(trainer *t);
tlb_status trainer_predict(trainer *t);
tlb_status trainer_export(trainer *t);
tlb_status trainer_info(trainer *t);
tlb_status trainer_report(trainer *t);
tlb_status trainer_preview(trainer *t);

/* --- trainer_main.c ----------------------------------------------------------------------- */

/* The compiled folder's weights.bin and manifest.json; says what is wrong. */
tlb_status trainer_open(trainer *t);
tlb_status trainer_no_memory(const tlb_args *a); /* says so */
/* Did SIGINT or SIGTERM come?  The second one kills. */
bool trainer_stop_wanted(void *unused);
void trainer_catch_signals(void);
int trainer_threads(const tlb_args *a); /* --threads, or all processors */
/* Print a trainer's trouble: FILE is below `run`. */
tlb_status trainer_trouble(const trainer *t, const char *run, tlb_status status,
                           const tlr_trouble *trouble);
/* A name made safe for a line of text, quoted by the caller where he wants; static buffers,
 * four in turn. */
const char *trainer_safe(const char *name);
/* `text` as one word of a shell; the same buffers. */
const char *trainer_shell(const char *text);

/* --- trainer_settings.c ------------------------------------------------------------------- */

typedef struct trainer_data trainer_data;
/* Do --schedule, --head-epochs, --clip-norm and their like fit each other and the model? */
tlb_status trainer_check_settings(const tlb_args *a);
/* --class-weights as numbers, one a class; *out NULL: none; free(), on failure too. */
tlb_status trainer_class_weights(const tlb_args *a, const trainer_data *d, double **out);

/* --- trainer_data.c, trainer_photos.c, trainer_arrays.c ----------------------------------- */

struct trainer_data {
    const tlb_args *args;
    tlr_samples samples;
    int32_t *labels;
    tlr_content_key *keys;
    char **classes;
    int n_classes;
    int64_t skipped;
    char hash[33];            /* of content, labels and split, hex */
    const char *train_name;   /* where they come from, as typed */
    bool has_valid;           /* valid/ is there: nothing is split off */
    /* pictures */
    char **paths;             /* by sample */
    int64_t *origin;          /* by sample: its place in the list before the split */
    trainer_augment augment;  /* of training pictures */
    uint64_t seed;
    tlr_image_note *notes;    /* by sample: what reading it found */
    tlb_status *status;
    tlr_loader *loaders;
    int n_loaders;
    /* arrays */
    struct trainer_arrays *arrays;
};

enum { DATA_TRAIN, DATA_EVAL }; /* what the samples are for: all are validation ones in EVAL */

/* PHOTOS or --data, whatever is given; `readers` threads will read.  classes: hold the folders
 * against these (NULL: free). */
tlb_status trainer_data_open(trainer_data *d, const tlb_args *a, const char *photos, int use,
                             int readers, char *const *classes, int n_classes);
void trainer_data_close(trainer_data *d);
/* Warnings of pictures that were read; and the error of the sample that ended a run. */
void trainer_data_warnings(trainer_data *d);
tlb_status trainer_data_failed(const trainer_data *d, int64_t sample, tlb_status status);

/* Inside: sources fill a list in the user's order, then the split sorts it. */
typedef struct trainer_list {
    size_t n;
    char **paths;             /* NULL for arrays */
    int32_t *labels;
    tlr_content_key *keys;
    bool *is_valid;
    int64_t *origin;          /* index in the source */
} trainer_list;
tlb_status trainer_list_make(const tlb_args *a, trainer_list *l, size_t n, bool with_paths);
void trainer_list_free(trainer_list *l);
/* Pictures that can be read, of one folder or of train/ and valid/. */
tlb_status trainer_photos_list(trainer_data *d, const char *photos, int use, int threads,
                               char *const *classes, int n_classes, trainer_list *out);
tlb_status trainer_photos_open(trainer_data *d, int readers);
/* --augment and --views, for training pictures. */
tlb_status trainer_photos_augment(trainer_data *d);
tlb_status trainer_photos_read(void *self, int64_t sample, int64_t view, int reader, void *input);
tlb_status trainer_arrays_list(trainer_data *d, const char *spec, trainer_list *out);
/* Take origin[sample], the row of X; freed by close. */
void trainer_arrays_order(trainer_data *d, int64_t *origin);
void trainer_arrays_close(trainer_data *d);

/* --- trainer_run.c: the run folder -------------------------------------------------------- */

typedef struct trainer_run {
    char *path;               /* as typed, or found */
    int lock;                 /* descriptor that holds it; -1 */
    bool created;             /* by us, just now */
    json_t *json;             /* run.json: as read, then as written */
    char **classes;           /* of a run that was read */
    int n_classes;
} trainer_run;

/* For train: settle the path, refuse a run that is there (unless --resume), read it and take
 * its options where none are given. */
tlb_status trainer_run_settle(trainer_run *r, trainer *t);
/* Make the folder and run.json of a new run; take the lock. */
tlb_status trainer_run_begin(trainer_run *r, trainer *t, const trainer_data *d);
/* failed: the run's own error has been said, and stays the only one. */
tlb_status trainer_run_save(trainer_run *r, const tlb_args *a, bool failed);
/* For the other commands: --run, or the newest under runs/, which is named on stderr. */
tlb_status trainer_run_find(trainer_run *r, const tlb_args *a);
/* A run that never made a step leaves nothing. */
void trainer_run_undo(trainer_run *r);
void trainer_run_close(trainer_run *r);
const char *trainer_run_photos(const trainer_run *r, const tlb_args *a); /* argument or as then */

/* --- trainer_report.c: what the report and `preview` show ---------------------------------- */

/* The first pictures of the first batch with this seed: [{path, label}]; arrays: null. */
json_t *trainer_preview_list(const trainer_data *d, uint64_t seed);

/* --- trainer_progress.c ------------------------------------------------------------------- */

typedef struct trainer_progress {
    const tlb_args *args;
    bool lines, terminal;     /* wanted at all; a line that is rewritten */
    bool shown, header_printed;
    double began, last, phase_began;
    int64_t epochs, done_before;
    int phase;
} trainer_progress;

void trainer_progress_init(trainer_progress *p, const tlb_args *a, int64_t epochs);
void trainer_progress_clear(trainer_progress *p);
/* Hooks of tlr_train.h; self: trainer_progress. */
void trainer_on_features(void *self, int64_t done, int64_t total);
void trainer_on_step(void *self, const tlr_step_report *r);
void trainer_on_epoch(void *self, const tlr_epoch_report *r);
void trainer_on_note(void *self, const char *id, const char *file, const char *what);
char *trainer_clock(char buf[32], double seconds); /* 0:59, 1:02:03 */

/* --- trainer_eval.c ----------------------------------------------------------------------- */

typedef struct trainer_result {
    int n_classes;
    int64_t *confusion;       /* [true][predicted] */
    tlr_score score;
    double low, high;         /* of the accuracy */
    FILE *predictions;        /* predictions.jsonl; NULL: not wanted */
    const trainer_data *data;
} trainer_result;

tlb_status trainer_result_init(trainer_result *r, const tlb_args *a, const trainer_data *d, int k);
void trainer_result_free(trainer_result *r);
/* Evaluate the validation samples as the trainer stands. */
tlb_status trainer_evaluate(tlr_trainer *t, const trainer_data *d, trainer_result *r);
json_t *trainer_result_json(const trainer_result *r);

#endif
