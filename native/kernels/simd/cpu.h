// Which vector instructions the processor has, found at run time.
#pragma once

namespace lowpeak {

enum class Isa { generic, avx2, neon, avx512 };

// Whether the library has kernels for `isa` and this processor runs them. `avx2` means AVX2, FMA and F16C, `avx512`
// these and AVX-512 F and DQ.
bool has_isa(Isa isa);

// Whether, beside `avx512`, there are its products of bytes.
bool has_vnni();

// The fastest that has_isa() grants. Constant while the process lives.
Isa best_isa();

}  // namespace lowpeak
