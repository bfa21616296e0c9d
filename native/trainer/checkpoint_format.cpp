#include "trainer/checkpoint_format.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "trainer/error.h"
#include "trainer/files.h"
#include "trainer/json.h"

namespace lowpeak::trainer {
namespace {

constexpr char kFormat[] = "lowpeak-checkpoint-4";
// Has no fingerprint: its options are a text of JSON. Such a run goes on.
constexpr char kOptionsAsText[] = "lowpeak-checkpoint-3";
constexpr char kChecksum[] = "checksum";
constexpr char kStart[] = "{\"__metadata__\":{\"checksum\":\"";
constexpr std::size_t kLengthBytes = 8, kPlace = kLengthBytes + sizeof kStart - 1, kDigits = 64;
constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // of the safetensors format
constexpr std::size_t kPieceBytes = 1 << 16;
// Steps and places in the data: beyond it no JSON reader has every whole number.
constexpr std::int64_t kMost = std::int64_t{1} << 53;

std::string to_json(const Progress& progress) {
  std::string options;
  for (const auto& [name, value] : progress.options) {
    options += (options.empty() ? "" : ", ") + python_json_string(name) + ": " + python_json_string(value);
  }
  return "{\"artifact\": " + python_json_string(progress.artifact) + ", \"step\": " + std::to_string(progress.step) +
         ", \"seed\": " + std::to_string(progress.seed) +
         ", \"fingerprint\": " + python_json_string(progress.fingerprint) + ", \"options\": {" + options + "}" +
         ", \"data\": " + python_json_string(progress.data) + ", \"position\": " + std::to_string(progress.position) +
         "}";
}

// A file that is read from its beginning on.
class Reader {
 public:
  explicit Reader(const std::string& path) {
    try {
      file_ = Descriptor::regular(path);
    } catch (const SystemError& error) {
      throw unreadable(error);
    }
    struct stat status{};
    if (::fstat(file_.get(), &status) != 0) throw unreadable(SystemError());
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  std::uint64_t size() const { return size_; }

  // Fills the buffer as far as there are bytes -> how many.
  std::size_t read(char* buffer, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
      const ssize_t got = ::read(file_.get(), buffer + done, size - done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw unreadable(SystemError());
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

 private:
  static Damaged unreadable(const SystemError& error) {
    return Damaged(std::string("it cannot be read: ") + error.what());
  }

  Descriptor file_;
  std::uint64_t size_ = 0;
};

struct Header {
  std::string bytes;  // those before the tensors
  Json json;
};

bool starts_with(const std::string& text, const std::string& start, std::size_t at) {
  return text.compare(at, start.size(), start) == 0;
}

Header read_header_of(const std::string& path, Reader& file) {
  std::string bytes(kLengthBytes, '\0');
  const bool begun = file.read(bytes.data(), kLengthBytes) == kLengthBytes;
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) length = length << 8 | static_cast<std::uint8_t>(bytes[i]);
  if (!begun || length > std::min(kMostHeaderBytes, file.size() - kLengthBytes)) {
    throw Damaged("it has " + std::to_string(file.size()) + " bytes, which is less than its header");
  }
  bytes.resize(kLengthBytes + length);
  bytes.resize(kLengthBytes + file.read(bytes.data() + kLengthBytes, length));
  if (!starts_with(bytes, kStart, kLengthBytes)) {
    for (const char* other : {"\"format\":\"lowpeak-checkpoint-1\"", "\"format\":\"lowpeak-checkpoint-2\""}) {
      if (bytes.find(other) == std::string::npos) continue;
      throw artifact_error(path + " is a checkpoint of an earlier version of lowpeak: end its run with that " +
                           "version, or train into a new folder");
    }
    throw Damaged("it does not begin as a checkpoint");
  }
  try {
    return {bytes, parse_json({bytes.data() + kLengthBytes, bytes.size() - kLengthBytes})};
  } catch (const std::exception& error) {
    throw Damaged(std::string("its header is no JSON: ") + error.what());
  }
}

// Where the last tensor ends, after the header.
std::uint64_t end_of(const Header& header) {
  std::int64_t end = 0;
  try {
    for (const auto& [name, record] : JsonReader(header.json, "ArtifactError", "header", "header").fields()) {
      if (name == "__metadata__") continue;
      const auto places = record.at("data_offsets").integers();
      if (places.size() != 2 || places[0] < 0 || places[1] < 0) throw Damaged("its header has no place of " + name);
      end = std::max(end, places[1]);
    }
  } catch (const Error& error) {
    throw Damaged(error.what());
  }
  return static_cast<std::uint64_t>(end);
}

std::int64_t count(const JsonReader& progress, const std::string& name) {
  const std::int64_t value = progress.at(name).integer();
  if (value >= 0 && value < kMost) return value;
  throw Damaged("its " + name + " is " + std::to_string(value) + ", which no run can have");
}

OptionFields options_of(const JsonReader& options, const std::string& format) {
  OptionFields fields;
  if (format == kOptionsAsText) {
    const Json raw = parse_json(options.text());
    return option_fields(JsonReader(raw, "ValueError", "progress", "options"));
  }
  for (const auto& [name, value] : options.fields()) fields[name] = value.text();
  return fields;
}

Progress progress_of(const std::string& path, const Header& header) {
  try {
    const JsonReader reader(header.json, "ValueError", "header", "header");
    const JsonReader metadata = reader.at("__metadata__");
    const std::string format = metadata.at("format").text();
    if (format != kFormat && format != kOptionsAsText) {
      throw artifact_error(path + " is no checkpoint of this version of lowpeak, its format is " + python_repr(format) +
                           ": end its run with the version that began it, or train into a new folder");
    }
    const Json raw = parse_json(metadata.at("progress").text());
    const JsonReader progress(raw, "ValueError", "progress", "progress");
    const OptionFields options = options_of(progress.at("options"), format);
    const std::string fingerprint =
        format == kOptionsAsText ? fingerprint_of(options) : progress.at("fingerprint").text();
    return {
        progress.at("artifact").text(), count(progress, "step"),    progress.at("seed").integer(), fingerprint, options,
        progress.at("data").text(),     count(progress, "position")};
  } catch (const Damaged&) {
    throw;
  } catch (const Error& error) {
    if (error.kind == "ArtifactError") throw;
    throw Damaged(std::string("its progress cannot be read: ") + error.what());
  } catch (const std::exception& error) {
    throw Damaged(std::string("its progress cannot be read: ") + error.what());
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> metadata_of(const Progress& progress) {
  return {{kChecksum, std::string(kDigits, '0')}, {"format", kFormat}, {"progress", to_json(progress)}};
}

void Checksummed::write(const void* data, std::size_t size) {
  digest_.update(data, size);
  write_all(fd_, data, size);
}

void Checksummed::finish() {
  const std::string digits = digest_.hex_digest();
  if (::lseek(fd_, kPlace, SEEK_SET) < 0) throw SystemError();
  write_all(fd_, digits.data(), digits.size());
}

Progress read_header(const std::string& path) {
  Reader file(path);
  return progress_of(path, read_header_of(path, file));
}

Progress verify(const std::string& path) {
  Reader file(path);
  const Header header = read_header_of(path, file);
  const std::uint64_t size = header.bytes.size() + end_of(header);
  if (file.size() != size) {
    throw Damaged("it has " + std::to_string(file.size()) + " bytes, by its header it should have " +
                  std::to_string(size));
  }
  std::string before = header.bytes;
  before.replace(kPlace, kDigits, kDigits, '0');
  Sha256 digest;
  digest.update(before.data(), before.size());
  std::vector<char> piece(kPieceBytes);
  while (const std::size_t got = file.read(piece.data(), piece.size())) digest.update(piece.data(), got);
  if (header.bytes.compare(kPlace, kDigits, digest.hex_digest()) != 0) {
    throw Damaged("its bytes do not give its checksum");
  }
  return progress_of(path, header);
}

}  // namespace lowpeak::trainer
