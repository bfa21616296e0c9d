#include "kernels/attention/attention.h"

#include <algorithm>
#include <vector>

#include "kernels/attention/attention_blocks.h"

namespace lowpeak {
namespace {

constexpr uintptr_t kCacheLine = 64;

int64_t blocks_of(int64_t count, int64_t block) { return (count + block - 1) / block; }

float* aligned(void* scratch) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(scratch);
  return reinterpret_cast<float*>((address + kCacheLine - 1) / kCacheLine * kCacheLine);
}

// Whole cache lines: workers never write to the same one.
int64_t padded_floats(int64_t floats) { return blocks_of(floats, 16) * 16; }

int64_t bytes_of(int64_t floats) {
  return floats * static_cast<int64_t>(sizeof(float)) + static_cast<int64_t>(kCacheLine);
}

// Query heads that pass over loaded keys together. Queries and sums of them stay in half of a second level cache
// of 512 KB.
int64_t heads_together(const AttentionShape& shape) {
  constexpr int64_t kCachedFloats = 64 * 1024;
  return std::clamp<int64_t>(kCachedFloats / (2 * kQueryBlock * shape.dim), 1, shape.heads / shape.key_heads);
}

// 0, n - 1, 1, n - 2, ...: later queries see more keys, so that any run of these costs about its length.
int64_t folded(int64_t i, int64_t count) { return i % 2 == 0 ? i / 2 : count - 1 - i / 2; }

// Parts of the sequence (of its queries and of its keys) that make the backward pass's units of work.
//
// One when the key heads alone divide evenly among the workers. Otherwise as many as it takes to even them out.
int64_t backward_parts(const AttentionShape& shape, int workers) {
  if (shape.key_heads % workers == 0) return 1;
  constexpr int64_t kShares = 8;
  return std::min(blocks_of(shape.end - shape.begin, kQueryBlock), blocks_of(kShares * workers, shape.key_heads));
}

int64_t part_begin(int64_t begin, int64_t end, int64_t part, int64_t parts) {
  const int64_t blocks = blocks_of(end - begin, kQueryBlock);
  return std::min(end, begin + blocks * part / parts * kQueryBlock);
}

void fill_zero(const Heads<float>& target, int64_t head, int64_t begin, int64_t end, int64_t dim) {
  for (int64_t row = begin; row < end; ++row) std::fill_n(target.row(head, row), dim, 0.0f);
}

}  // namespace

const AttentionKernels& attention_kernels(Isa isa) {
  switch (isa) {
#if defined(LOWPEAK_HAVE_X86)
    case Isa::avx2: return kAvx2AttentionKernels;
    case Isa::avx512: return kAvx512AttentionKernels;
#endif
#if defined(LOWPEAK_HAVE_NEON)
    case Isa::neon: return kNeonAttentionKernels;
#endif
    default: return kGenericAttentionKernels;
  }
}

int64_t attention_forward_scratch_bytes(const AttentionShape& shape, int workers, Isa isa) {
  return bytes_of(workers * padded_floats(attention_kernels(isa).forward_scratch(shape.dim, heads_together(shape))));
}

void attention_forward(const AttentionForward& arguments, Parallel& parallel, void* scratch, Isa isa) {
  const AttentionKernels& kernels = attention_kernels(isa);
  const AttentionShape& shape = arguments.shape;
  const int64_t together = heads_together(shape), group = shape.heads / shape.key_heads;
  const int64_t parts = blocks_of(group, together), blocks = blocks_of(shape.end - shape.begin, kQueryBlock);
  const int64_t worker_floats = padded_floats(kernels.forward_scratch(shape.dim, together));
  float* memory = aligned(scratch);
  parallel.run(shape.key_heads * parts * blocks, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t key_head = i / blocks / parts, first = i / blocks % parts * together;
      const int64_t query = shape.begin + folded(i % blocks, blocks) * kQueryBlock;
      const ForwardBlock block = {key_head * group + first, std::min(together, group - first), query,
                                  std::min(shape.end, query + kQueryBlock)};
      kernels.forward(arguments, block, memory + worker * worker_floats);
    }
  });
}

int64_t attention_backward_scratch_bytes(const AttentionShape& shape, int workers, Isa isa) {
  const int64_t delta = padded_floats(shape.heads * (shape.end - shape.begin));
  return bytes_of(delta + workers * padded_floats(attention_kernels(isa).backward_scratch(shape.dim)));
}

void attention_backward(const AttentionBackward& arguments, Parallel& parallel, void* scratch, Isa isa) {
  const AttentionKernels& kernels = attention_kernels(isa);
  const AttentionShape& shape = arguments.shape;
  const int64_t queries = shape.end - shape.begin;
  const int64_t worker_floats = padded_floats(kernels.backward_scratch(shape.dim));
  float* delta = aligned(scratch);
  float* memory = delta + padded_floats(shape.heads * queries);

  // Rows of all query heads, one after the other.
  parallel.run(shape.heads * queries, [&](int64_t begin, int64_t end, int) {
    for (int64_t at = begin; at < end;) {
      const int64_t head = at / queries, first = at % queries, last = std::min(queries, first + end - at);
      kernels.delta(arguments, head, first, last, delta + head * queries);
      fill_zero(arguments.grad_query, head, first, last, shape.dim);
      at += last - first;
    }
  });
  parallel.run(shape.key_heads, [&](int64_t begin, int64_t end, int) {
    for (int64_t head = begin; head < end; ++head) {
      fill_zero(arguments.grad_key, head, arguments.written, shape.end, shape.dim);
      fill_zero(arguments.grad_value, head, arguments.written, shape.end, shape.dim);
    }
  });

  // In a step every part of the keys meets another part of the queries: no two units of work write to the same
  // rows, and the order of sums depends on the number of parts only.
  const int64_t parts = backward_parts(shape, parallel.workers());
  std::vector<BackwardBlock> work;
  for (int64_t step = 0; step < parts; ++step) {
    work.clear();
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t with = (part + step) % parts;
      BackwardBlock block = {0, part_begin(0, shape.end, part, parts), part_begin(0, shape.end, part + 1, parts),
                             part_begin(shape.begin, shape.end, with, parts),
                             part_begin(shape.begin, shape.end, with + 1, parts)};
      if (block.query_end <= block.key_begin) continue;
      for (block.key_head = 0; block.key_head < shape.key_heads; ++block.key_head) work.push_back(block);
    }
    parallel.run(static_cast<int64_t>(work.size()), [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) {
        kernels.backward(arguments, work[static_cast<size_t>(i)], delta, memory + worker * worker_floats);
      }
    });
  }
}

}  // namespace lowpeak
