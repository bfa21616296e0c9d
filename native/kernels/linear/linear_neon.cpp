// NEON as every aarch64 has it (armv8-a).
#include <arm_neon.h>

#include <cstring>

#include "kernels/linear/linear_decode.h"
#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/linear_pack.h"

namespace lowpeak {
namespace {

struct NeonLanes {
  using Bytes = uint8x16_t;
  struct Affine {
    float32x4_t scale[4], offset[4];
  };

  static float half_to_float(uint16_t half) {
    __fp16 value;
    std::memcpy(&value, &half, sizeof half);
    return static_cast<float>(value);
  }
  static void prefetch(const uint8_t* p) { __builtin_prefetch(p); }
  static Bytes load8(const uint8_t* p) { return vcombine_u8(vld1_u8(p), vdup_n_u8(0)); }
  static Bytes load16(const uint8_t* p) { return vld1q_u8(p); }
  static Bytes zip_low8(Bytes a, Bytes b) { return vzip1q_u8(a, b); }
  static Bytes zip_low16(Bytes a, Bytes b) {
    return vreinterpretq_u8_u16(vzip1q_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)));
  }
  static Bytes zip_high16(Bytes a, Bytes b) {
    return vreinterpretq_u8_u16(vzip2q_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)));
  }
  static Bytes zip_low32(Bytes a, Bytes b) {
    return vreinterpretq_u8_u32(vzip1q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
  }
  static Bytes zip_high32(Bytes a, Bytes b) {
    return vreinterpretq_u8_u32(vzip2q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
  }
  static Bytes zip_low64(Bytes a, Bytes b) {
    return vreinterpretq_u8_u64(vzip1q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
  }
  static Bytes zip_high64(Bytes a, Bytes b) {
    return vreinterpretq_u8_u64(vzip2q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
  }
  static Bytes low_nibbles(Bytes a) { return vandq_u8(a, vdupq_n_u8(15)); }
  static Bytes high_nibbles(Bytes a) { return vshrq_n_u8(a, 4); }

  static Affine affine(const float* scales, const float* offsets) {
    Affine r;
    for (int i = 0; i < 4; ++i) {
      r.scale[i] = vld1q_f32(scales + 4 * i);
      r.offset[i] = vld1q_f32(offsets + 4 * i);
    }
    return r;
  }
  static Affine affine_of(float scale, float offset) {
    Affine r;
    for (int i = 0; i < 4; ++i) {
      r.scale[i] = vdupq_n_f32(scale);
      r.offset[i] = vdupq_n_f32(offset);
    }
    return r;
  }

  static void store(Bytes bytes, const Affine& of, float* out) {
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_u8(vget_high_u8(bytes));
    store_four(vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), of, 0, out);
    store_four(vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))), of, 1, out);
    store_four(vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), of, 2, out);
    store_four(vcvtq_f32_u32(vmovl_u16(vget_high_u16(high))), of, 3, out);
  }
  static void store_signed(Bytes bytes, const Affine& of, float* out) {
    const int8x16_t values = vreinterpretq_s8_u8(bytes);
    const int16x8_t low = vmovl_s8(vget_low_s8(values)), high = vmovl_s8(vget_high_s8(values));
    store_four(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), of, 0, out);
    store_four(vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))), of, 1, out);
    store_four(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), of, 2, out);
    store_four(vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))), of, 3, out);
  }
  static void store_four(float32x4_t values, const Affine& of, int part, float* out) {
    vst1q_f32(out + 4 * part, vfmaq_f32(of.offset[part], values, of.scale[part]));
  }
};

// 24 of 32 registers are sums.
constexpr int kMr = 6;
constexpr int kParts = kNr / 4;

// sum[row] += b * one lane of the vector, which has to be a constant.
#define LOWPEAK_ADD_ROW(row, vector, lane)                                        \
  LOWPEAK_UNROLL                                                                  \
  for (int part = 0; part < kParts; ++part) {                                     \
    sum[row][part] = vfmaq_laneq_f32(sum[row][part], b_part[part], vector, lane); \
  }

template <int Rows, bool Packed>
void sum_products(const TileProduct& p, float32x4_t (&sum)[Rows][kParts]) {
  const float* a = p.a;
  const float* b = p.b;
  for (int64_t k = 0; k < p.depth; ++k) {
    float32x4_t b_part[kParts];
    LOWPEAK_UNROLL
    for (int part = 0; part < kParts; ++part) b_part[part] = vld1q_f32(b + 4 * part);
    if constexpr (Packed && Rows == kMr) {
      const float32x4_t a0 = vld1q_f32(a);
      const float32x4_t a4 = vcombine_f32(vld1_f32(a + 4), vdup_n_f32(0));
      LOWPEAK_ADD_ROW(0, a0, 0)
      LOWPEAK_ADD_ROW(1, a0, 1)
      LOWPEAK_ADD_ROW(2, a0, 2)
      LOWPEAK_ADD_ROW(3, a0, 3)
      LOWPEAK_ADD_ROW(4, a4, 0)
      LOWPEAK_ADD_ROW(5, a4, 1)
    } else {
      LOWPEAK_UNROLL
      for (int i = 0; i < Rows; ++i) {
        const float32x4_t value = vld1q_dup_f32(a + i * (Packed ? 1 : p.a_row_stride));
        LOWPEAK_ADD_ROW(i, value, 0)
      }
    }
    a += Packed ? kMr : p.a_depth_stride;
    b += kNr;
  }
}

#undef LOWPEAK_ADD_ROW

template <int Rows>
void multiply_rows(const TileProduct& p) {
  LOWPEAK_UNROLL
  for (int i = 0; i < Rows; ++i) __builtin_prefetch(p.c + i * p.c_stride, 1);
  float32x4_t sum[Rows][kParts];
  LOWPEAK_UNROLL
  for (int i = 0; i < Rows; ++i) {
    LOWPEAK_UNROLL
    for (int part = 0; part < kParts; ++part) sum[i][part] = vdupq_n_f32(0);
  }
  if (p.a_row_stride == 1 && p.a_depth_stride == kMr) {
    sum_products<Rows, true>(p, sum);
  } else {
    sum_products<Rows, false>(p, sum);
  }
  LOWPEAK_UNROLL
  for (int i = 0; i < Rows; ++i) {
    float* out = p.c + i * p.c_stride;
    float edge[kNr] = {};
    float* target = out;
    if (p.cols < kNr) {
      target = edge;
      if (p.accumulate) std::memcpy(edge, out, sizeof(float) * static_cast<size_t>(p.cols));
    }
    LOWPEAK_UNROLL
    for (int part = 0; part < kParts; ++part) {
      float* at = target + 4 * part;
      vst1q_f32(at,
                p.accumulate ? vfmaq_n_f32(vld1q_f32(at), sum[i][part], p.alpha) : vmulq_n_f32(sum[i][part], p.alpha));
    }
    if (p.cols < kNr) std::memcpy(out, edge, sizeof(float) * static_cast<size_t>(p.cols));
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

extern const LinearKernels kNeonLinearKernels = {kMr,
                                                 kNr,
                                                 kMc512k,
                                                 pack_left<kMr>,
                                                 multiply_tile,
                                                 Decoder<NeonLanes>::decode_transposed,
                                                 Decoder<NeonLanes>::decode};

}  // namespace lowpeak
