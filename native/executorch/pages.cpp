#include "executorch/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace lowpeak {
namespace {

// A fault maps the pages around it as well: 64 kB, and on new kernels all of a folio, at most what one page table
// maps. They are given back together.
constexpr std::uintptr_t kBlockBytes = 2 << 20;

// A read-ahead of more would push out what is needed first.
constexpr std::size_t kMostAhead = std::size_t{16} << 20;

// 4 or 16 kB on phones.
std::uintptr_t page_bytes() {
  static const auto kBytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  return kBytes;
}

template <typename Advise>
void for_each_part(const QuantizedMatrix& matrix, const Advise& advise_part) {
  const std::int64_t groups = matrix.rows * matrix.groups();
  advise_part(matrix.data, static_cast<std::size_t>(matrix.rows * matrix.row_bytes()));
  advise_part(matrix.scale, static_cast<std::size_t>(groups * (matrix.scale_is_half ? 2 : 4)));
  if (matrix.zero_point) advise_part(matrix.zero_point, static_cast<std::size_t>(groups * 4));
}

}  // namespace

void Pages::add(const void* begin, std::int64_t bytes) {
  const auto from = reinterpret_cast<std::uintptr_t>(begin);
  if (bytes <= 0) return;
  regions_.push_back({from, from + static_cast<std::uintptr_t>(bytes)});
  // Else the system reads around a page that is missing, megabytes on some machines, and drops for it what is needed.
  ::madvise(const_cast<void*>(begin), static_cast<std::size_t>(bytes), MADV_RANDOM);
}

void Pages::remove(const void* begin) {
  const auto from = reinterpret_cast<std::uintptr_t>(begin);
  regions_.erase(
      std::remove_if(regions_.begin(), regions_.end(), [from](const Region& region) { return region.begin == from; }),
      regions_.end());
}

void Pages::advise(const void* data, std::size_t bytes, int advice, std::uintptr_t block) const {
  const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(data);
  for (const Region& region : regions_) {
    if (from < region.begin || from >= region.end) continue;
    const std::uintptr_t begin = std::max(from / block * block, region.begin);
    const std::uintptr_t end = std::min((from + bytes + block - 1) / block * block, region.end);
    // It is advice: what comes of it changes no result.
    ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
    return;
  }
}

void Pages::read_ahead(const void* data, std::size_t bytes) const {
  if (bytes > 0) advise(data, std::min(bytes, kMostAhead), MADV_WILLNEED, page_bytes());
}

void Pages::give_back(const void* data, std::size_t bytes) const {
  if (bytes > 0) advise(data, bytes, MADV_DONTNEED, kBlockBytes);
}

void Pages::read_on(const QuantizedMatrix& part) const {
  for_each_part(part, [this](const void* data, std::size_t bytes) { give_back(data, bytes); });
  if (part.rows <= 1) return;
  for_each_part(slice_rows(part, part.rows, part.rows),
                [this](const void* data, std::size_t bytes) { read_ahead(data, bytes); });
}

}  // namespace lowpeak
