// A file that is written beside its name and renamed: under the name is the old one or the new one, whole.
#pragma once

#include <string>

#include "trainer/files.h"

namespace lowpeak::trainer {

class WholeFile {
 public:
  // Opens a new file beside `path`. Whatever lies under its temporary name is removed, never written through: a link
  // there may lead anywhere. One process at a time may write there. Throws SystemError.
  explicit WholeFile(const std::string& path, int mode = 0644);
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;
  // Removes the file unless it has taken its place.
  ~WholeFile();

  int fd() const { return file_.get(); }
  void sync() const;  // what was written survives a power failure; throws SystemError
  void take_place();  // throws SystemError

 private:
  std::string path_, temporary_;
  Descriptor file_;
  bool placed_ = false;
};

// Where `path` is written before it is whole.
std::string temporary_of(const std::string& path);

// The last part of a path.
std::string name_of(const std::string& path);

}  // namespace lowpeak::trainer
