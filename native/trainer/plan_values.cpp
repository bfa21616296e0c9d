#include "trainer/plan_values.h"

#include <algorithm>

#include "trainer/json.h"

namespace lowpeak::trainer {
namespace {

// Fields by their number, of schema/program.fbs.
namespace field {
constexpr int kValues = 2, kBuffers = 8;  // of a plan
constexpr int kKind = 0, kValue = 1;      // of a value
constexpr int kType = 0, kStorage = 1, kSizes = 2, kOrder = 3, kData = 5, kAllocation = 6, kShape = 8, kExtra = 9;
constexpr int kMemory = 0, kLow = 1, kHigh = 2;       // of an allocation
constexpr int kName = 1, kLocation = 2, kDevice = 3;  // of a tensor's extra
constexpr int kItems = 0;                             // of a list
}  // namespace field

constexpr std::int8_t kExternal = 1;
constexpr std::size_t kMostRank = 16;
constexpr std::size_t kMostBuffers = 3;  // none is the first; the arena, and what lies outside

std::string at(std::size_t index) { return "its value " + std::to_string(index); }

class ValuesReader {
 public:
  ValuesReader(const FlatTable& plan, const MethodRecord& method, const ProgramData& data)
      : plan_(plan), method_(method), data_(data) {}

  std::vector<Value> read() {
    read_buffers();
    const FlatTables values = plan_.tables(field::kValues);
    for (std::size_t i = 0; i < values.size(); ++i) values_.push_back(read_value(values[i], i));
    for (std::size_t i = 0; i < values_.size(); ++i) check_items(values_[i], i);
    return std::move(values_);
  }

 private:
  void read_buffers() {
    const auto sizes = plan_.numbers<std::int64_t>(field::kBuffers);
    const std::int64_t most[kMostBuffers] = {0, method_.arena_bytes, method_.state_bytes};
    if (sizes.empty() || sizes.size() > kMostBuffers) {
      throw DamagedBuffer("it has " + std::to_string(sizes.size()) + " buffers");
    }
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (sizes[i] < 0 || sizes[i] > most[i]) {
        throw DamagedBuffer("its buffer " + std::to_string(i) + " has " + std::to_string(sizes[i]) +
                            " bytes, the plan " + std::to_string(most[i]));
      }
      buffers_.push_back(sizes[i]);
    }
  }

  Value read_value(const FlatTable& value, std::size_t index) const {
    const std::uint8_t kind = value.number<std::uint8_t>(field::kKind);
    const FlatTable content = value.table(field::kValue);
    if (kind < kNull || kind > kOptionalTensorList || !content.exists()) {
      throw DamagedBuffer(at(index) + " is of no known kind");
    }
    Value made{static_cast<Kind>(kind)};
    switch (made.kind) {
      case kNull: break;
      case kInt: made.number = content.number<std::int64_t>(0); break;
      case kBool:
        if (content.number<std::uint8_t>(0) > 1) throw DamagedBuffer(at(index) + " is no flag");
        break;
      case kDouble: content.number<std::uint64_t>(0); break;
      case kString:
        require_there(content, index);
        content.text(0);
        break;
      case kDoubleList:
        require_there(content, index);
        content.numbers<std::int64_t>(field::kItems);
        break;
      case kBoolList: {
        require_there(content, index);
        const auto flags = content.numbers<std::uint8_t>(field::kItems);
        for (std::size_t i = 0; i < flags.size(); ++i) {
          if (flags[i] > 1) throw DamagedBuffer(at(index) + " has no flags");
        }
        break;
      }
      case kIntList: made.items = items_of<std::int64_t>(content, index); break;
      case kTensorList:
      case kOptionalTensorList: made.items = items_of<std::int32_t>(content, index); break;
      case kTensor: read_tensor(content, index, made); break;
    }
    return made;
  }

  static void require_there(const FlatTable& content, std::size_t index) {
    if (!content.has(field::kItems)) throw DamagedBuffer(at(index) + " is empty");
  }

  template <typename Number>
  static std::vector<std::int64_t> items_of(const FlatTable& list, std::size_t index) {
    require_there(list, index);
    const auto items = list.numbers<Number>(field::kItems);
    std::vector<std::int64_t> made;
    for (std::size_t i = 0; i < items.size(); ++i) made.push_back(items[i]);
    return made;
  }

  void read_tensor(const FlatTable& tensor, std::size_t index, Value& made) const {
    made.dtype = dtype_of_scalar_type(tensor.number<std::int8_t>(field::kType));
    const auto sizes = tensor.numbers<std::int32_t>(field::kSizes);
    const auto order = tensor.numbers<std::uint8_t>(field::kOrder);
    bool fits = made.dtype != nullptr && tensor.has(field::kSizes) && tensor.has(field::kOrder) &&
                sizes.size() <= kMostRank && order.size() == sizes.size() &&
                tensor.number<std::int32_t>(field::kStorage) == 0 && tensor.number<std::int8_t>(field::kShape) == 0;
    for (std::size_t i = 0; fits && i < sizes.size(); ++i) fits = order[i] == i && sizes[i] >= 0;
    if (!fits) throw DamagedBuffer(at(index) + " is no tensor of a known type whose rows follow each other");
    for (std::size_t i = 0; i < sizes.size(); ++i) made.shape.push_back(sizes[i]);

    const FlatTable extra = tensor.table(field::kExtra);
    const bool external = extra.exists() && extra.number<std::int8_t>(field::kLocation) == kExternal;
    if (extra.exists() && extra.number<std::int8_t>(field::kDevice) != 0) {
      throw DamagedBuffer(at(index) + " lies on another device");
    }
    const FlatTable allocation = tensor.table(field::kAllocation);
    const std::uint32_t stored = tensor.number<std::uint32_t>(field::kData);
    if (external) {
      require_weight(extra.text(field::kName), made, index);
      if (allocation.exists()) throw DamagedBuffer(at(index) + " is a weight, and has a place in memory");
    } else if (allocation.exists()) {
      made.planned = true;
      require_place(allocation, made, index);
      if (stored > 0) require_stored(data_.initial, stored, made, index);
    } else if (stored > 0) {
      require_stored(data_.constants, stored, made, index);
    } else {
      made.given = true;
    }
  }

  // Of the tensor, no more than `most`, which says how many fit. A size of 0 counts as 1: kernels go over the others.
  static std::int64_t bytes_of(const Value& tensor, std::int64_t most, std::size_t index) {
    std::int64_t bytes = static_cast<std::int64_t>(tensor.dtype->bytes);
    bool empty = false;
    for (const std::int64_t size : tensor.shape) {
      empty = empty || size == 0;
      if (size > 0 && bytes > most / size)
        bytes = most + 1;
      else
        bytes *= std::max<std::int64_t>(1, size);
      if (bytes > most) break;
    }
    if (bytes > most) throw DamagedBuffer(at(index) + " is larger than where it lies");
    return empty ? 0 : bytes;
  }

  void require_place(const FlatTable& allocation, const Value& tensor, std::size_t index) const {
    const std::uint32_t memory = allocation.number<std::uint32_t>(field::kMemory);
    const std::uint64_t offset = allocation.number<std::uint32_t>(field::kLow) |
                                 std::uint64_t{allocation.number<std::uint32_t>(field::kHigh)} << 32;
    if (memory < 1 || memory >= buffers_.size() || offset > static_cast<std::uint64_t>(buffers_[memory]) ||
        offset % tensor.dtype->bytes != 0) {
      throw DamagedBuffer(at(index) + " lies in no buffer");
    }
    bytes_of(tensor, buffers_[memory] - static_cast<std::int64_t>(offset), index);
  }

  static void require_stored(const Stored& stored, std::uint32_t number, const Value& tensor, std::size_t index) {
    if (number >= stored.offsets.size()) throw DamagedBuffer(at(index) + " has no data in the file");
    bytes_of(tensor, static_cast<std::int64_t>(stored.end - stored.offsets[number]), index);
  }

  void require_weight(std::string_view name, const Value& tensor, std::size_t index) const {
    const auto found = data_.weights.find(name);
    if (found == data_.weights.end() || found->second->shape != tensor.shape ||
        found->second->dtype != tensor.dtype->name) {
      throw DamagedBuffer(at(index) + " is the weight " + python_repr(std::string(name)) + " as " + tensor.dtype->name +
                          " " + python_list(tensor.shape) + ", which the manifest has not");
    }
  }

  // Lists name other values.
  void check_items(const Value& list, std::size_t index) const {
    for (const std::int64_t item : list.items) {
      if (list.kind == kOptionalTensorList && item == -1) continue;
      const Value* value = item >= 0 && static_cast<std::size_t>(item) < values_.size()
                               ? &values_[static_cast<std::size_t>(item)]
                               : nullptr;
      const bool fits = value != nullptr &&
                        (list.kind == kIntList
                             ? value->kind == kInt
                             : value->kind == kTensor || (list.kind == kOptionalTensorList && value->kind == kNull));
      // The runtime makes lists while it goes through the values.
      if (!fits || (list.kind != kIntList && static_cast<std::size_t>(item) >= index)) {
        throw DamagedBuffer(at(index) + " is a list of values that there are not");
      }
    }
  }

  const FlatTable& plan_;
  const MethodRecord& method_;
  const ProgramData& data_;
  std::vector<std::int64_t> buffers_;
  std::vector<Value> values_;
};

}  // namespace

std::vector<Value> read_values(const FlatTable& plan, const MethodRecord& method, const ProgramData& data) {
  return ValuesReader(plan, method, data).read();
}

}  // namespace lowpeak::trainer
