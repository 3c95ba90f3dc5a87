/* How the tile registers are cut. To be included inside a target region. */
#ifndef QL_AMX_CONFIGURATION_H
#define QL_AMX_CONFIGURATION_H

/* What ldtilecfg reads: the rows and the bytes of a row of each register. */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} ql_amx_configuration;

QL_INLINE void ql_amx_configure(const ql_amx_configuration *shape) {
    /* GCC's intrinsic says that it reads 8 bytes of the 64: without this, the rest is not written.
     */
    __asm__ volatile("" ::"r"(shape) : "memory");
    _tile_loadconfig(shape);
}

#endif
