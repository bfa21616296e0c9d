#include "trainer/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace lowpeak::trainer {
namespace {

Descriptor created(const std::string& path, int mode) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw SystemError();
  return Descriptor::open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
}

}  // namespace

WholeFile::WholeFile(const std::string& path, int mode)
    : path_(path), temporary_(temporary_of(path)), file_(created(temporary_, mode)) {}

WholeFile::~WholeFile() {
  if (!placed_) ::unlink(temporary_.c_str());
}

void WholeFile::sync() const { trainer::sync(fd()); }

void WholeFile::take_place() {
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw SystemError();
  placed_ = true;
}

std::string temporary_of(const std::string& path) {
  const std::string name = name_of(path);
  return path.substr(0, path.size() - name.size()) + "." + name + ".tmp";
}

std::string name_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace lowpeak::trainer
