#include "trainer/weights_check.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "trainer/error.h"
#include "trainer/flat_buffer.h"
#include "trainer/json.h"

namespace lowpeak::trainer {
namespace {

constexpr char kTable[] = "FT01", kHeader[] = "FH01";
constexpr std::size_t kHeaderPlace = 8, kHeaderBytes = 40, kAlignment = 16;

// Fields by their number, of extension/flat_tensor/serialize/flat_tensor.fbs.
constexpr int kSegments = 1, kNamed = 2;
constexpr int kOffset = 0, kSize = 1;
constexpr int kKey = 0, kSegment = 1, kLayout = 2;
constexpr int kType = 0, kSizes = 1, kOrder = 2;

struct Header {
  std::uint64_t table_begin, table_bytes, begin, bytes;
};

Header header_of(const Mapping& file) {
  if (file.size() < kHeaderPlace + kHeaderBytes || std::memcmp(file.data() + kHeaderPlace, kHeader, 4) != 0) {
    throw DamagedBuffer("it has no header");
  }
  Header header;
  std::memcpy(&header, file.data() + kHeaderPlace + 8, sizeof header);
  const std::uint64_t size = file.size();
  if (header.begin > size || header.bytes > size - header.begin || header.table_begin > header.begin ||
      header.table_bytes > header.begin - header.table_begin) {
    throw DamagedBuffer("its header is of " + std::to_string(header.begin) + " and " + std::to_string(header.bytes) +
                        " bytes, the file has " + std::to_string(size));
  }
  return header;
}

void check_tensor(const FlatTable& named, const FlatTables& segments, const Header& header,
                  const WeightRecord& expected) {
  const TensorRecord& record = expected.tensor;
  const std::uint32_t index = named.number<std::uint32_t>(kSegment);
  const FlatTable layout = named.table(kLayout);
  if (!layout.exists() || index >= segments.size()) throw DamagedBuffer(record.name + " has no place");
  const auto sizes = layout.numbers<std::int32_t>(kSizes);
  const auto order = layout.numbers<std::uint8_t>(kOrder);
  const DType* dtype = dtype_of_scalar_type(layout.number<std::int8_t>(kType));
  std::vector<std::int64_t> shape;
  for (std::size_t i = 0; i < sizes.size(); ++i) shape.push_back(sizes[i]);
  bool in_order = order.size() == sizes.size();
  for (std::size_t i = 0; in_order && i < order.size(); ++i) in_order = order[i] == i;
  if (dtype == nullptr || dtype->name != record.dtype || shape != record.shape || !in_order) {
    throw DamagedBuffer("it has " + record.name + " as " + (dtype == nullptr ? "an unknown type" : dtype->name) + " " +
                        python_list(shape) + ", the manifest as " + record.description());
  }
  const FlatTable segment = segments[index];
  const auto offset = segment.number<std::uint64_t>(kOffset), bytes = segment.number<std::uint64_t>(kSize);
  if (offset > header.bytes || bytes > header.bytes - offset || bytes != record.elements() * dtype->bytes) {
    throw DamagedBuffer(record.name + " has " + std::to_string(bytes) + " bytes at " + std::to_string(offset) +
                        ", its shape is of " + std::to_string(record.elements() * dtype->bytes));
  }
  if (header.begin + offset != static_cast<std::uint64_t>(expected.offset)) {
    throw DamagedBuffer(record.name + " lies at byte " + std::to_string(header.begin + offset) +
                        ", by the manifest at " + std::to_string(expected.offset));
  }
}

// In their order none begins before the one before it has ended.
void check_places(const std::vector<WeightRecord>& expected) {
  std::vector<const WeightRecord*> ordered;
  for (const WeightRecord& each : expected) ordered.push_back(&each);
  std::sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  std::int64_t end = 0;
  for (const WeightRecord* each : ordered) {
    if (each->offset < end || each->offset % static_cast<std::int64_t>(kAlignment) != 0) {
      throw DamagedBuffer(each->tensor.name + " lies at byte " + std::to_string(each->offset) +
                          ", within another or not at a multiple of " + std::to_string(kAlignment));
    }
    end = each->offset + each->bytes();
  }
}

void check(const Mapping& file, const std::vector<WeightRecord>& expected) {
  const Header header = header_of(file);
  const FlatBuffer buffer(file.data(), static_cast<std::size_t>(header.table_begin + header.table_bytes), kTable);
  const FlatTable root = buffer.root();
  const FlatTables segments = root.tables(kSegments), named = root.tables(kNamed);
  if (named.size() != expected.size()) {
    throw DamagedBuffer("it has " + std::to_string(named.size()) + " tensors, the manifest " +
                        std::to_string(expected.size()));
  }
  std::map<std::string_view, const WeightRecord*> left;
  for (const WeightRecord& each : expected) left.emplace(each.tensor.name, &each);
  for (std::size_t i = 0; i < named.size(); ++i) {
    const FlatTable each = named[i];
    const std::string_view name = each.text(kKey);
    const auto found = left.find(name);
    if (found == left.end()) {
      throw DamagedBuffer("it has a tensor " + python_repr(std::string(name)) +
                          ", which the manifest has not, or twice");
    }
    check_tensor(each, segments, header, *found->second);
    left.erase(found);
  }
  check_places(expected);
}

}  // namespace

void check_weights(const std::string& path, const Mapping& file, const std::vector<WeightRecord>& expected) {
  try {
    check(file, expected);
  } catch (const DamagedBuffer& error) {
    throw artifact_error(path + " is damaged or not of this artifact: " + error.what() + "; copy or compile it again");
  }
}

}  // namespace lowpeak::trainer
