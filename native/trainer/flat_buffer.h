// FlatBuffers of files that nobody vouches for: every offset is looked at before it is followed.
//
// A table is read once: what is read is counted, so a file whose parts share their bytes, which could be read for
// ever, is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lowpeak::trainer {

// Of a file that is no FlatBuffer, or one of another shape; says where.
class DamagedBuffer : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class FlatBuffer;

// A list in the buffer: numbers of `Number`.
template <typename Number>
class FlatNumbers {
 public:
  FlatNumbers() = default;
  FlatNumbers(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Number operator[](std::size_t index) const;  // below `size`

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

class FlatTables;

// A table: fields by their number in the schema; one that is left out is 0, empty or none.
class FlatTable {
 public:
  FlatTable() = default;
  FlatTable(const FlatBuffer& buffer, std::size_t place);

  bool exists() const { return buffer_ != nullptr; }
  std::size_t place() const { return place_; }
  bool has(int field) const { return entry(field) != 0; }

  template <typename Number>
  Number number(int field) const;

  std::string_view text(int field) const;
  FlatTable table(int field) const;
  template <typename Number>
  FlatNumbers<Number> numbers(int field) const;
  FlatTables tables(int field) const;

 private:
  std::size_t entry(int field) const;  // where it lies in the table; 0: nowhere
  std::size_t field_at(int field, std::size_t bytes) const;
  std::size_t target_of(int field) const;  // of an offset; 0: none

  const FlatBuffer* buffer_ = nullptr;
  std::size_t place_ = 0, vtable_ = 0, vtable_bytes_ = 0, table_bytes_ = 0;
};

class FlatTables {
 public:
  FlatTables() = default;
  FlatTables(const FlatBuffer& buffer, std::size_t place, std::size_t size)
      : buffer_(&buffer), place_(place), size_(size) {}

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  FlatTable operator[](std::size_t index) const;  // below `size`

 private:
  const FlatBuffer* buffer_ = nullptr;
  std::size_t place_ = 0, size_ = 0;
};

class FlatBuffer {
 public:
  // `identifier`: the four letters after the first offset. Throws DamagedBuffer, as all that is read of it does.
  FlatBuffer(const std::uint8_t* data, std::size_t size, std::string_view identifier);

  FlatTable root() const;

 private:
  friend class FlatTable;
  friend class FlatTables;

  template <typename Number>
  Number at(std::size_t place) const;
  // Throws unless the bytes are there, and the first lies where such numbers do.
  void require(std::size_t place, std::size_t bytes, std::size_t alignment) const;
  void count(std::size_t bytes) const;
  // Of the list at `place`, whose items have so many bytes each -> the number of its items.
  std::size_t list(std::size_t place, std::size_t bytes) const;

  const std::uint8_t* data_;
  std::size_t size_;
  mutable std::size_t left_;  // bytes that may still be read
};

}  // namespace lowpeak::trainer
