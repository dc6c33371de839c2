/* tlb_file.h: files written whole or not at all, and files mapped for reading.
 *
 * Every write: a temporary file beside the target (O_EXCL, name ".tlc-XXXXXXXX.part"), write,
 * fsync, close, rename, fsync of the folder.  A failed fsync is final.
 */
#ifndef TLB_FILE_H
#define TLB_FILE_H

#include "tlb_status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tlb_out {
    int fd;            /* -1: closed */
    char *path, *temporary;
    int error;         /* errno of the first failure; 0 none */
    uint64_t written;
    /* Sees every byte given to tlb_out_write (a running checksum); NULL: nobody.  Set after open. */
    void (*tap)(void *self, const void *bytes, size_t n);
    void *tap_self;
} tlb_out;

tlb_status tlb_out_open(tlb_out *o, const char *path);          /* E_OUTPUT; o->error says why */
tlb_status tlb_out_write(tlb_out *o, const void *bytes, size_t n);
tlb_status tlb_out_hole(tlb_out *o, uint64_t n);                 /* n zero bytes, not stored */
tlb_status tlb_out_commit(tlb_out *o);                           /* on failure nothing is left */
void tlb_out_abandon(tlb_out *o);                                /* remove the temporary; idempotent */
tlb_status tlb_write_file(const char *path, const void *bytes, size_t n, int *out_errno);

typedef struct tlb_map { const unsigned char *bytes; size_t n_bytes; } tlb_map;
/* Map a regular file; E_INPUT with errno in *out_errno (0: not a regular file).  Empty: bytes NULL. */
tlb_status tlb_map_file(const char *path, tlb_map *out, int *out_errno);
void tlb_unmap(tlb_map *m);
#endif
