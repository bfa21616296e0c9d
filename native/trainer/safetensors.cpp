#include "trainer/safetensors.h"

#include <algorithm>
#include <limits>

#include "trainer/json.h"

namespace lowpeak::trainer {
namespace {

constexpr std::size_t kMaximalHeader = kMostText;
constexpr std::size_t kHeaderAlignment = 64;

std::size_t bytes_of(const std::vector<std::int64_t>& shape, const DType& dtype) {
  std::size_t bytes = dtype.bytes;
  for (const std::int64_t size : shape) {
    constexpr auto kLimit = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max());
    if (size < 0 || (size > 0 && bytes > kLimit / static_cast<std::size_t>(size))) {
      throw std::runtime_error("a tensor has an impossible shape");
    }
    bytes *= static_cast<std::size_t>(size);
  }
  return bytes;
}

std::uint64_t little_endian(const std::uint8_t* bytes) {
  std::uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

std::size_t TensorToWrite::bytes() const { return bytes_of(shape, *dtype); }

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(Descriptor::regular(path)) {
  const std::size_t size = size_of(file_.get());
  if (size < 8) throw std::runtime_error("the header is truncated");
  std::uint8_t prefix[8];
  read_at(file_.get(), prefix, sizeof prefix, 0);
  const std::uint64_t length = little_endian(prefix);
  if (length > kMaximalHeader) throw std::runtime_error("the header is too large");
  if (length > size - 8) throw std::runtime_error("the header is truncated");
  std::string text(length, '\0');
  read_at(file_.get(), text.data(), length, 8);
  const Json header = parse_json(text);
  const std::size_t start = 8 + length;
  std::vector<std::pair<std::size_t, std::size_t>> taken;
  for (const auto& [name, reader] : JsonReader(header, "ArtifactError", "header", "header").fields()) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : reader.fields()) metadata_.emplace(key, value.text());
      continue;
    }
    const DType* dtype = dtype_in_safetensors(reader.at("dtype").text());
    if (dtype == nullptr) throw std::runtime_error(name + " has an unknown element type");
    const auto shape = reader.at("shape").integers();
    const auto places = reader.at("data_offsets").integers();
    const std::size_t room = size - start;
    if (places.size() != 2 || places[0] < 0 || places[1] < places[0] || static_cast<std::uint64_t>(places[1]) > room) {
      throw std::runtime_error(name + " lies outside of the file");
    }
    const auto begin = static_cast<std::size_t>(places[0]), end = static_cast<std::size_t>(places[1]);
    if (end - begin != bytes_of(shape, *dtype)) throw std::runtime_error(name + " has another size than its shape");
    if ((start + begin) % dtype->bytes != 0) throw std::runtime_error(name + " lies at an odd place");
    taken.emplace_back(begin, end);
    entries_.emplace(name, Entry{dtype, shape, start + begin, start + end});
  }
  // One after the other, to the end of the file.
  std::sort(taken.begin(), taken.end());
  std::size_t end = 0;
  for (const auto& [begin, next] : taken) {
    if (begin != end) {
      throw std::runtime_error("its tensors " + std::string(begin < end ? "lie in the same bytes" : "leave a hole") +
                               " at byte " + std::to_string(std::min(begin, end)));
    }
    end = next;
  }
  if (end != size - start) throw std::runtime_error("it is longer than its tensors");
}

void SafetensorsFile::read(const Entry& entry, void* to, std::size_t from, std::size_t bytes) const {
  read_at(file_.get(), to, bytes, entry.begin + from);
}

void write_safetensors(const Write& write, std::vector<TensorToWrite> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::function<void()>& written) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorToWrite& a, const TensorToWrite& b) { return a.dtype->bytes > b.dtype->bytes; });
  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      if (header.back() != '{') header += ',';
      header += python_json_string(key) + ":" + python_json_string(value);
    }
    header += '}';
  }
  std::size_t end = 0;
  for (const TensorToWrite& tensor : tensors) {
    std::string shape;
    for (const std::int64_t size : tensor.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    if (header.back() != '{') header += ',';
    header += python_json_string(tensor.name) + ":{\"dtype\":\"" + tensor.dtype->safetensors + "\",\"shape\":[" +
              shape + "],\"data_offsets\":[" + std::to_string(end);
    end += tensor.bytes();
    header += "," + std::to_string(end) + "]}";
  }
  header += '}';
  header.append((kHeaderAlignment - (header.size() + 8) % kHeaderAlignment) % kHeaderAlignment, ' ');
  std::uint8_t length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<std::uint8_t>(std::uint64_t(header.size()) >> 8 * i);
  write(length, sizeof length);
  write(header.data(), header.size());
  for (const TensorToWrite& tensor : tensors) {
    read_ahead(tensor.data, tensor.bytes());
    write(tensor.data, tensor.bytes());
    written();
  }
}

}  // namespace lowpeak::trainer
