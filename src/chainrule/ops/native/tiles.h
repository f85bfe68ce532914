/* Tile registers (AMX): 16 rows of 64 bytes each, and products of tiles of bfloat16 numbers, summed in float32.

   A product adds to sum[i][j] the products of row i of the first factor with column j of the second, pair by pair: each sum
   depends on its own row and column alone. The registers belong to a thread; it sets them up before use, and gives them back. */

#pragma once

#include "vectors.h"

#if defined __AMX_BF16__ && defined __AMX_TILE__ && defined __AVX512BF16__
#define TILES 1 /* whether the processor has tile registers */

#include <sys/syscall.h>
#include <unistd.h>

static int tiles_allowed;

/* Linux gives a process the registers only if it asks for them. */
__attribute__((constructor)) static void ask_for_tiles(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
    tiles_allowed = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}

/* The compiler does not know that tiles are loaded from memory and stored to it. */
INLINE void barrier(void) { __asm__ volatile("" ::: "memory"); }

INLINE void set_up_tiles(void) {
    struct {
        uint8_t palette, start, zeros[14];
        uint16_t bytes[16]; /* of a row, for each register */
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 8; i++) shape.bytes[i] = 64, shape.rows[i] = 16;
    barrier();
    _tile_loadconfig(&shape);
}
#else
#define TILES 0
#endif
