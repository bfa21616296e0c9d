// Plain C++ for processors without a file of their own; compilers turn its loops into what vectors there are.
#include <cstring>

#include "kernels/linear/linear_decode.h"
#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/linear_pack.h"

namespace lowpeak {
namespace {

struct GenericLanes {
  struct Bytes {
    uint8_t at[16];
  };
  struct Affine {
    float scale[16], offset[16];
  };

  static float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t exponent = (half >> 10) & 31, mantissa = half & 1023;
    float magnitude;
    if (exponent == 0) {
      magnitude = static_cast<float>(mantissa) * (1.0f / 16777216.0f);  // subnormal: mantissa * 2^-24
    } else {
      const uint32_t bits = ((exponent == 31 ? 255 : exponent + 112) << 23) | (mantissa << 13);
      std::memcpy(&magnitude, &bits, sizeof bits);
    }
    return sign ? -magnitude : magnitude;
  }

  static void prefetch(const uint8_t*) {}
  static Bytes load8(const uint8_t* p) {
    Bytes r = {};
    std::memcpy(r.at, p, 8);
    return r;
  }
  static Bytes load16(const uint8_t* p) {
    Bytes r;
    std::memcpy(r.at, p, 16);
    return r;
  }
  // Elements of `Size` bytes from a and b by turns, from byte `first` on.
  template <int Size>
  static Bytes zip(const Bytes& a, const Bytes& b, int first) {
    Bytes r;
    for (int i = 0; i < 8 / Size; ++i) {
      std::memcpy(r.at + 2 * i * Size, a.at + first + i * Size, Size);
      std::memcpy(r.at + (2 * i + 1) * Size, b.at + first + i * Size, Size);
    }
    return r;
  }
  static Bytes zip_low8(const Bytes& a, const Bytes& b) { return zip<1>(a, b, 0); }
  static Bytes zip_low16(const Bytes& a, const Bytes& b) { return zip<2>(a, b, 0); }
  static Bytes zip_high16(const Bytes& a, const Bytes& b) { return zip<2>(a, b, 8); }
  static Bytes zip_low32(const Bytes& a, const Bytes& b) { return zip<4>(a, b, 0); }
  static Bytes zip_high32(const Bytes& a, const Bytes& b) { return zip<4>(a, b, 8); }
  static Bytes zip_low64(const Bytes& a, const Bytes& b) { return zip<8>(a, b, 0); }
  static Bytes zip_high64(const Bytes& a, const Bytes& b) { return zip<8>(a, b, 8); }
  static Bytes low_nibbles(Bytes a) {
    for (uint8_t& byte : a.at) byte &= 15;
    return a;
  }
  static Bytes high_nibbles(Bytes a) {
    for (uint8_t& byte : a.at) byte >>= 4;
    return a;
  }

  static Affine affine(const float* scales, const float* offsets) {
    Affine r;
    std::memcpy(r.scale, scales, sizeof r.scale);
    std::memcpy(r.offset, offsets, sizeof r.offset);
    return r;
  }
  static Affine affine_of(float scale, float offset) {
    Affine r;
    for (int i = 0; i < 16; ++i) {
      r.scale[i] = scale;
      r.offset[i] = offset;
    }
    return r;
  }
  static void store(const Bytes& bytes, const Affine& of, float* out) {
    for (int i = 0; i < 16; ++i) out[i] = static_cast<float>(bytes.at[i]) * of.scale[i] + of.offset[i];
  }
  static void store_signed(const Bytes& bytes, const Affine& of, float* out) {
    for (int i = 0; i < 16; ++i) {
      out[i] = static_cast<float>(static_cast<int8_t>(bytes.at[i])) * of.scale[i] + of.offset[i];
    }
  }
};

// A quarter of the tile's columns at a time: 6 x 4 sums fit into 16 registers of 4 floats.
constexpr int kPartCols = 4;
constexpr int kMr = 6;

template <int Rows>
void multiply_rows(const TileProduct& p) {
  float sum[Rows][kNr];
  LOWPEAK_UNROLL
  for (int part = 0; part < kNr; part += kPartCols) {
    float partial[Rows][kPartCols] = {};
    const float* a = p.a;
    const float* b = p.b + part;
    for (int64_t k = 0; k < p.depth; ++k) {
      LOWPEAK_UNROLL
      for (int i = 0; i < Rows; ++i) {
        const float value = a[i * p.a_row_stride];
        LOWPEAK_UNROLL
        for (int j = 0; j < kPartCols; ++j) partial[i][j] += value * b[j];
      }
      a += p.a_depth_stride;
      b += kNr;
    }
    LOWPEAK_UNROLL
    for (int i = 0; i < Rows; ++i) {
      LOWPEAK_UNROLL
      for (int j = 0; j < kPartCols; ++j) sum[i][part + j] = partial[i][j];
    }
  }
  LOWPEAK_UNROLL
  for (int i = 0; i < Rows; ++i) {
    float* out = p.c + i * p.c_stride;
    for (int j = 0; j < p.cols; ++j) out[j] = p.alpha * sum[i][j] + (p.accumulate ? out[j] : 0.0f);
  }
}

void multiply_tile(const TileProduct& p) {
  switch (p.rows) {
    case 1: return multiply_rows<1>(p);
    case 2: return multiply_rows<2>(p);
    case 3: return multiply_rows<3>(p);
    case 4: return multiply_rows<4>(p);
    case 5: return multiply_rows<5>(p);
    default: return multiply_rows<kMr>(p);
  }
}

}  // namespace

extern const LinearKernels kGenericLinearKernels = {kMr,
                                                    kNr,
                                                    kMc512k,
                                                    pack_left<kMr>,
                                                    multiply_tile,
                                                    Decoder<GenericLanes>::decode_transposed,
                                                    Decoder<GenericLanes>::decode};

const LinearKernels& linear_kernels(Isa isa) {
#if defined(LOWPEAK_HAVE_X86)
  if (isa == Isa::avx512) return kAvx512LinearKernels;
  if (isa == Isa::avx2) return kAvx2LinearKernels;
#endif
#if defined(LOWPEAK_HAVE_NEON)
  if (isa == Isa::neon) return kNeonLinearKernels;
#endif
  (void)isa;
  return kGenericLinearKernels;
}

}  // namespace lowpeak
