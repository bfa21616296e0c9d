// chat.json, and chats that are put together with it.
#include "tokenizer/chat.h"

#include <filesystem>
#include <fstream>

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lowpeak::tokenizer;
  static const std::string path = [] {
    char name[] = "/tmp/lowpeak-fuzz-chat-XXXXXX";
    return std::string(::mkdtemp(name));
  }();
  static const std::vector<std::vector<Message>> chats = {
      {{"user", "Hello"}, {"assistant", " Yes. "}},
      {{"system", "Be\nbrief"}, {"user", "one"}, {"assistant", "two"}, {"user", "three"}, {"assistant", "four\n"}},
      {{"user", "a"}},
  };
  return lowpeak::fuzz::refused_or_read([&] {
    std::ofstream(path + "/chat.json", std::ios::binary)
        .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    const Chat chat = Chat::from_artifact(path, "");
    for (const auto& messages : chats) {
      lowpeak::fuzz::refused_or_read([&] {
        const Rendered made = chat.rendered(messages);
        for (const Turn& turn : made.turns) {
          if (turn.start > made.text.size() || turn.end > made.text.size()) std::abort();
        }
      });
      lowpeak::fuzz::refused_or_read([&] { chat.prompt(messages); });
    }
  });
}
