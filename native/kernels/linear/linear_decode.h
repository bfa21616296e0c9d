// Decodes quantized weights to panels, for any instruction set.
//
// Each source file of an instruction set includes this and instantiates Decoder with its `Lanes`: the
// operations on 16 bytes that differ. `Lanes` must be a type of an unnamed namespace, so that code compiled
// with one file's flags is never linked into another's. For the same reason nothing here is an ordinary
// inline function.
//
//     Bytes                      16 bytes
//     Affine                     scale and offset of 16 values: value * scale + offset
//     load8(p), load16(p)        bytes from memory; load8 leaves the upper half undefined
//     zip_low8 / 16 / 32 / 64    interleave the lower halves by elements of so many bits; zip_high likewise
//     high_nibbles, low_nibbles
//     prefetch(p)
//     affine(scales, offsets)    from 16 floats each
//     affine_of(scale, offset)   the same for all
//     store(bytes, affine, out)  16 floats from unsigned bytes; store_signed from signed ones
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/quantized.h"

namespace lowpeak {

template <class Lanes>
struct Decoder {
  using Bytes = typename Lanes::Bytes;
  using Affine = typename Lanes::Affine;

  static_assert(kNr == 16, "the decoder works on 16 bytes");

  static void decode_transposed(const QuantizedMatrix& weight, int64_t row, int64_t rows, int64_t col, int64_t cols,
                                float* panel) {
    for (int64_t first = 0; first < rows; first += kNr) {
      const int64_t left = rows - first;
      transposed_tile(weight, row + first, left < kNr ? static_cast<int>(left) : kNr, col, cols, panel);
      panel += cols * kNr;
    }
  }

  static void decode(const QuantizedMatrix& weight, int64_t row, int64_t rows, int64_t col, int64_t cols,
                     float* panel) {
    const int64_t tile_size = rows * kNr;
    // Divisions are slow beside what is decoded between two of them.
    const int64_t groups = weight.groups(), group_size = weight.group_size, row_bytes = weight.row_bytes();
    const bool whole_tiles_in_groups = group_size % kNr == 0;
    const int64_t first_group = col / group_size, first_end = (first_group + 1) * group_size - col;
    for (int64_t k = 0; k < rows; ++k) {
      const uint8_t* data = weight.data + (row + k) * row_bytes;
      if (k + kRowsAhead < rows) {
        const uint8_t* ahead = data + kRowsAhead * row_bytes + col * weight.bits / 8;
        Lanes::prefetch(ahead);
        Lanes::prefetch(ahead + (cols - 1) * weight.bits / 8);
      }
      const int64_t first_scale = (row + k) * groups + first_group;
      float* out = panel + k * kNr;
      int64_t done = 0;
      if (whole_tiles_in_groups) {
        int64_t scale = first_scale, group_end = first_end;
        while (done + kNr <= cols) {
          const ScaleOffset of = scale_offset(weight, scale++);
          const Affine affine = Lanes::affine_of(of.scale, of.offset);
          for (; done < group_end && done + kNr <= cols; done += kNr, out += tile_size) {
            decode_16(weight.bits, data, col + done, affine, out);
          }
          group_end += group_size;
        }
      }
      for (; done < cols; done += kNr, out += tile_size) {
        for (int64_t j = 0; j < kNr; ++j) {
          out[j] = done + j < cols ? decode_one(weight, row + k, col + done + j) : 0.0f;
        }
      }
    }
  }

 private:
  // A panel takes a line or two of each row; processors do not guess that the next ones are a row further.
  static constexpr int64_t kRowsAhead = 12;

  struct ScaleOffset {
    float scale, offset;
  };

  // decoded = stored * scale + offset, where `stored` is the nibble as it is or the signed byte.
  static ScaleOffset scale_offset(const QuantizedMatrix& weight, int64_t at) {
    const float scale = weight.scale_is_half ? Lanes::half_to_float(static_cast<const uint16_t*>(weight.scale)[at])
                                             : static_cast<const float*>(weight.scale)[at];
    const float zero = (weight.bits == 4 ? 8.0f : 0.0f) + (weight.zero_point ? weight.zero_point[at] : 0.0f);
    return {scale, -zero * scale};
  }

  static float decode_one(const QuantizedMatrix& weight, int64_t row, int64_t col) {
    const ScaleOffset of = scale_offset(weight, row * weight.groups() + col / weight.group_size);
    const uint8_t* data = weight.data + row * weight.row_bytes();
    float stored;
    if (weight.bits == 4) {
      stored = static_cast<float>(col % 2 == 0 ? data[col / 2] >> 4 : data[col / 2] & 15);
    } else {
      stored = static_cast<float>(static_cast<int8_t>(data[col]));
    }
    return stored * of.scale + of.offset;
  }

  // 16 neighbours in a row.
  static void decode_16(int bits, const uint8_t* data, int64_t col, const Affine& affine, float* out) {
    if (bits == 4) {
      const Bytes packed = Lanes::load8(data + col / 2);
      Lanes::store(Lanes::zip_low8(Lanes::high_nibbles(packed), Lanes::low_nibbles(packed)), affine, out);
    } else {
      Lanes::store_signed(Lanes::load16(data + col), affine, out);
    }
  }

  // The tile [cols, 16] of `rows` <= 16 rows. Bytes are transposed before they become floats: 16 rows of 8
  // bytes turn into 8 vectors, each with one byte of every row.
  static void transposed_tile(const QuantizedMatrix& weight, int64_t row, int rows, int64_t col, int64_t cols,
                              float* out) {
    const uint8_t* data[kNr];
    for (int j = 0; j < kNr; ++j) {
      // Rows beyond the matrix repeat the last one; their scales are zero.
      data[j] = weight.data + (row + (j < rows ? j : rows - 1)) * weight.row_bytes() + col * weight.bits / 8;
    }
    const int values_a_byte = 8 / weight.bits;
    const int64_t groups = weight.groups();
    int64_t byte = 0;
    for (int64_t k = 0; k < cols;) {
      const int64_t group = (col + k) / weight.group_size;
      const int64_t group_end = (group + 1) * weight.group_size - col;
      const int64_t end = group_end < cols ? group_end : cols;
      float scales[kNr] = {}, offsets[kNr] = {};
      for (int j = 0; j < rows; ++j) {
        const ScaleOffset of = scale_offset(weight, (row + j) * groups + group);
        scales[j] = of.scale;
        offsets[j] = of.offset;
      }
      const Affine affine = Lanes::affine(scales, offsets);
      for (; k + 8 * values_a_byte <= end; k += 8 * values_a_byte, byte += 8) {
        Bytes columns[8];
        transpose_16_by_8(data, byte, columns);
        for (int b = 0; b < 8; ++b) {
          store_column(weight.bits, columns[b], affine, out);
          out += values_a_byte * kNr;
        }
      }
      for (; k < end; k += values_a_byte, ++byte) {
        uint8_t column[kNr];
        for (int j = 0; j < kNr; ++j) column[j] = data[j][byte];
        store_column(weight.bits, Lanes::load16(column), affine, out);
        out += values_a_byte * kNr;
      }
    }
  }

  static void store_column(int bits, const Bytes& column, const Affine& affine, float* out) {
    if (bits == 4) {
      Lanes::store(Lanes::high_nibbles(column), affine, out);
      Lanes::store(Lanes::low_nibbles(column), affine, out + kNr);
    } else {
      Lanes::store_signed(column, affine, out);
    }
  }

  static void transpose_16_by_8(const uint8_t* const* rows, int64_t byte, Bytes columns[8]) {
    Bytes pairs[8];  // [8 bytes][2 rows]
    for (int i = 0; i < 8; ++i) {
      pairs[i] = Lanes::zip_low8(Lanes::load8(rows[2 * i] + byte), Lanes::load8(rows[2 * i + 1] + byte));
    }
    Bytes fours[4][2];  // [4 bytes][4 rows], lower and upper bytes
    for (int i = 0; i < 4; ++i) {
      fours[i][0] = Lanes::zip_low16(pairs[2 * i], pairs[2 * i + 1]);
      fours[i][1] = Lanes::zip_high16(pairs[2 * i], pairs[2 * i + 1]);
    }
    Bytes eights[2][4];  // [2 bytes][8 rows]
    for (int i = 0; i < 2; ++i) {
      for (int half = 0; half < 2; ++half) {
        eights[i][2 * half] = Lanes::zip_low32(fours[2 * i][half], fours[2 * i + 1][half]);
        eights[i][2 * half + 1] = Lanes::zip_high32(fours[2 * i][half], fours[2 * i + 1][half]);
      }
    }
    for (int pair = 0; pair < 4; ++pair) {
      columns[2 * pair] = Lanes::zip_low64(eights[0][pair], eights[1][pair]);
      columns[2 * pair + 1] = Lanes::zip_high64(eights[0][pair], eights[1][pair]);
    }
  }
};

}  // namespace lowpeak
