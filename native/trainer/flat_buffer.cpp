#include "trainer/flat_buffer.h"

#include <cstring>

namespace lowpeak::trainer {
namespace {

constexpr std::size_t kOffset = sizeof(std::uint32_t);

// Files are little-endian, as every machine that this runs on.
template <typename Number>
Number loaded(const std::uint8_t* place) {
  Number number;
  std::memcpy(&number, place, sizeof number);
  return number;
}

}  // namespace

template <typename Number>
Number FlatNumbers<Number>::operator[](std::size_t index) const {
  return loaded<Number>(data_ + index * sizeof(Number));
}

FlatBuffer::FlatBuffer(const std::uint8_t* data, std::size_t size, std::string_view identifier)
    : data_(data), size_(size), left_(size) {
  if (size < kOffset + identifier.size() || std::memcmp(data + kOffset, identifier.data(), identifier.size()) != 0) {
    throw DamagedBuffer("it does not begin as such a file does");
  }
}

FlatTable FlatBuffer::root() const { return FlatTable(*this, at<std::uint32_t>(0)); }

template <typename Number>
Number FlatBuffer::at(std::size_t place) const {
  require(place, sizeof(Number), sizeof(Number));
  return loaded<Number>(data_ + place);
}

void FlatBuffer::require(std::size_t place, std::size_t bytes, std::size_t alignment) const {
  if (place > size_ || bytes > size_ - place || place % alignment != 0) {
    throw DamagedBuffer("a part of its table would lie at byte " + std::to_string(place));
  }
}

void FlatBuffer::count(std::size_t bytes) const {
  if (bytes > left_) throw DamagedBuffer("parts of its table lie in the same bytes");
  left_ -= bytes;
}

std::size_t FlatBuffer::list(std::size_t place, std::size_t bytes) const {
  const std::size_t size = at<std::uint32_t>(place);
  if (size > size_ / bytes) throw DamagedBuffer("a list of its table ends outside of it");
  require(place + kOffset, size * bytes, bytes);
  count(kOffset + size * bytes);
  return size;
}

FlatTable::FlatTable(const FlatBuffer& buffer, std::size_t place) : buffer_(&buffer), place_(place) {
  const auto back = static_cast<std::int64_t>(buffer.at<std::int32_t>(place));
  const std::int64_t vtable = static_cast<std::int64_t>(place) - back;
  if (vtable < 0) throw DamagedBuffer("a part of its table has no fields");
  vtable_ = static_cast<std::size_t>(vtable);
  vtable_bytes_ = buffer.at<std::uint16_t>(vtable_);
  table_bytes_ = buffer.at<std::uint16_t>(vtable_ + 2);
  if (vtable_bytes_ < 4 || vtable_bytes_ % 2 != 0 || table_bytes_ < kOffset) {
    throw DamagedBuffer("a part of its table has no fields");
  }
  buffer.require(vtable_, vtable_bytes_, 2);
  buffer.require(place, table_bytes_, kOffset);
  buffer.count(table_bytes_);
}

std::size_t FlatTable::entry(int field) const {
  const std::size_t place = 4 + 2 * static_cast<std::size_t>(field);
  return place + 2 <= vtable_bytes_ ? buffer_->at<std::uint16_t>(vtable_ + place) : 0;
}

std::size_t FlatTable::field_at(int field, std::size_t bytes) const {
  const std::size_t offset = entry(field);
  if (offset == 0) return 0;
  if (offset + bytes > table_bytes_) throw DamagedBuffer("a field of its table lies outside of it");
  buffer_->require(place_ + offset, bytes, bytes);
  return place_ + offset;
}

template <typename Number>
Number FlatTable::number(int field) const {
  const std::size_t place = field_at(field, sizeof(Number));
  return place == 0 ? Number{} : buffer_->at<Number>(place);
}

std::size_t FlatTable::target_of(int field) const {
  const std::size_t place = field_at(field, kOffset);
  return place == 0 ? 0 : place + buffer_->at<std::uint32_t>(place);
}

std::string_view FlatTable::text(int field) const {
  const std::size_t place = target_of(field);
  if (place == 0) return {};
  const std::size_t size = buffer_->list(place, 1);
  const auto* first = reinterpret_cast<const char*>(buffer_->data_ + place + kOffset);
  // The runtime reads it up to its zero.
  buffer_->require(place + kOffset, size + 1, 1);
  if (std::memchr(first, '\0', size + 1) != first + size) throw DamagedBuffer("a name in its table does not end");
  return {first, size};
}

FlatTable FlatTable::table(int field) const {
  const std::size_t place = target_of(field);
  return place == 0 ? FlatTable() : FlatTable(*buffer_, place);
}

template <typename Number>
FlatNumbers<Number> FlatTable::numbers(int field) const {
  const std::size_t place = target_of(field);
  if (place == 0) return {};
  const std::size_t size = buffer_->list(place, sizeof(Number));
  return {buffer_->data_ + place + kOffset, size};
}

FlatTables FlatTable::tables(int field) const {
  const std::size_t place = target_of(field);
  if (place == 0) return {};
  return {*buffer_, place + kOffset, buffer_->list(place, kOffset)};
}

FlatTable FlatTables::operator[](std::size_t index) const {
  const std::size_t place = place_ + index * kOffset;
  return FlatTable(*buffer_, place + buffer_->at<std::uint32_t>(place));
}

template class FlatNumbers<std::uint8_t>;
template class FlatNumbers<std::int32_t>;
template class FlatNumbers<std::int64_t>;
template class FlatNumbers<std::uint64_t>;
template std::uint8_t FlatTable::number<std::uint8_t>(int) const;
template std::int8_t FlatTable::number<std::int8_t>(int) const;
template std::int32_t FlatTable::number<std::int32_t>(int) const;
template std::uint32_t FlatTable::number<std::uint32_t>(int) const;
template std::int64_t FlatTable::number<std::int64_t>(int) const;
template std::uint64_t FlatTable::number<std::uint64_t>(int) const;
template FlatNumbers<std::uint8_t> FlatTable::numbers<std::uint8_t>(int) const;
template FlatNumbers<std::int32_t> FlatTable::numbers<std::int32_t>(int) const;
template FlatNumbers<std::int64_t> FlatTable::numbers<std::int64_t>(int) const;
template FlatNumbers<std::uint64_t> FlatTable::numbers<std::uint64_t>(int) const;

}  // namespace lowpeak::trainer
