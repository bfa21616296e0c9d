#include "trainer/bus_error.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>

// All below runs in a signal's handler: no memory is allocated, and only what POSIX allows there is called.
namespace lowpeak::trainer {
namespace {

int events_file = -1;
std::atomic_flag telling = ATOMIC_FLAG_INIT;

constexpr std::size_t kLongest = 4096 + 256;  // of a line of /proc/self/maps: a path and numbers
constexpr char kGone[] = " (deleted)";

// Text that grows in a place of its own; what does not fit is left out.
class Text {
 public:
  void add(const char* words) {
    while (*words != '\0') put(*words++);
  }

  void add(std::uint64_t number) {
    char digits[20];
    std::size_t count = 0;
    do digits[count++] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0) put(digits[--count]);
  }

  // A path inside of a JSON string.
  void add_path(const char* path) {
    for (const char* next = path; *next != '\0';) {
      const std::size_t length = character(reinterpret_cast<const unsigned char*>(next));
      if (length == 0 || static_cast<unsigned char>(*next) < ' ') {
        put('?');
        ++next;
        continue;
      }
      if (*next == '"' || *next == '\\') put('\\');
      for (std::size_t i = 0; i < length; ++i) put(*next++);
    }
  }

  const char* data() const { return text_; }
  std::size_t size() const { return size_; }

 private:
  // Bytes of the UTF-8 character that begins here; 0 if none does.
  static std::size_t character(const unsigned char* bytes) {
    const unsigned char first = bytes[0];
    const std::size_t length = first < 0x80                     ? 1
                               : first >= 0xC2 && first < 0xE0  ? 2
                               : first >= 0xE0 && first < 0xF0  ? 3
                               : first >= 0xF0 && first <= 0xF4 ? 4
                                                                : 0;
    for (std::size_t i = 1; i < length; ++i) {
      if ((bytes[i] & 0xC0) != 0x80) return 0;
    }
    return length;
  }

  void put(char letter) {
    if (size_ < sizeof text_) text_[size_++] = letter;
  }

  char text_[2 * kLongest];
  std::size_t size_ = 0;
};

// A file in the address space, and where in it an address lies.
struct Place {
  char path[kLongest];
  std::uint64_t offset;
};

std::uint64_t hexadecimal(const char*& text) {
  std::uint64_t value = 0;
  for (;; ++text) {
    const char letter = *text;
    if (letter >= '0' && letter <= '9') {
      value = value << 4 | static_cast<std::uint64_t>(letter - '0');
    } else if (letter >= 'a' && letter <= 'f') {
      value = value << 4 | static_cast<std::uint64_t>(letter - 'a' + 10);
    } else {
      return value;
    }
  }
}

// Whether a line of /proc/self/maps is that of the address, and of a file:
//     begin-end rwxp offset device inode      path
bool is_line_of(const char* line, std::uint64_t address, Place& place) {
  const std::uint64_t begin = hexadecimal(line);
  if (*line++ != '-') return false;
  const std::uint64_t end = hexadecimal(line);
  if (address < begin || address >= end) return false;
  const char* field = line;
  for (int spaces = 0; *field != '\0' && spaces < 2; ++field) spaces += *field == ' ';
  place.offset = hexadecimal(field) + (address - begin);
  while (*field != '\0' && *field != '/') ++field;
  std::size_t length = 0;
  while (field[length] != '\0' && length + 1 < sizeof place.path) ++length;
  std::memcpy(place.path, field, length);
  place.path[length] = '\0';
  return length > 0;
}

bool find(std::uint64_t address, Place& place) {
  static char line[kLongest];
  static char piece[1 << 12];
  const int file = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  std::size_t length = 0;
  bool found = false;
  ssize_t got = 0;
  while (!found && (got = ::read(file, piece, sizeof piece)) > 0) {
    for (ssize_t i = 0; i < got && !found; ++i) {
      if (piece[i] != '\n') {
        if (length + 1 < sizeof line) line[length++] = piece[i];
        continue;
      }
      line[length] = '\0';
      found = is_line_of(line, address, place);
      length = 0;
    }
  }
  ::close(file);
  return found;
}

bool is_gone(char* path) {
  const std::size_t length = std::strlen(path), end = sizeof kGone - 1;
  if (length < end || std::strcmp(path + length - end, kGone) != 0) return false;
  path[length - end] = '\0';
  return true;
}

void tell(Place& place) {
  static Text text;
  text.add("{\"event\":\"error\",\"class\":\"EnvironmentProblem\",\"message\":\"");
  struct stat status{};
  if (is_gone(place.path)) {
    text.add("the disk has no room left, or fails, under the temporary file ");
    text.add_path(place.path);
    text.add(": free room there, or give another folder for temporary files");
  } else if (::stat(place.path, &status) == 0 && place.offset >= static_cast<std::uint64_t>(status.st_size)) {
    text.add_path(place.path);
    text.add(" was cut while it was in use: it has ");
    text.add(static_cast<std::uint64_t>(status.st_size));
    text.add(" bytes, and byte ");
    text.add(place.offset);
    text.add(" is needed. Copy or make it again, and let nothing write to it meanwhile");
  } else {
    text.add("the disk fails under ");
    text.add_path(place.path);
    text.add(", which is in use: look into the system's log, and copy it to another disk");
  }
  text.add(". Checkpoints are as they were\",\"numbers\":{}}\n");
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(events_file, text.data() + done, text.size() - done);
    if (written <= 0) break;
    done += static_cast<std::size_t>(written);
  }
}

void handle(int number, siginfo_t* info, void*) {
  static Place place;
  const bool of_a_page = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR;
  if (of_a_page) {
    // Another thread tells, and ends this one with the process.
    while (telling.test_and_set()) ::pause();
    if (find(reinterpret_cast<std::uintptr_t>(info->si_addr), place)) {
      tell(place);
      ::_exit(1);
    }
  }
  ::signal(number, SIG_DFL);
  ::raise(number);
}

}  // namespace

void report_bus_errors(int events) {
  events_file = events;
  struct sigaction action{};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace lowpeak::trainer
