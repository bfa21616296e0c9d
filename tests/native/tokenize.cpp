// The tokenizer of native/ as a program, numbers in the machine's own bytes:
//
//     tokenize TOKENIZER.json encode [special]    in: {uint32 size, text}; out: {int32 count, {int32 id, start, end}}
//     tokenize TOKENIZER.json decode              in: {uint32 count, int64 ids}; out: {uint32 size, piece}
//
//     tokenize ARTIFACT prompt                    in: {uint32 count, {uint32 size, text}: roles and contents in turn};
//                                                 out: as encode, of the prompt for the next answer, places 0
//
// An error is a count of -1 and the message as {uint32 size, text}; of the file, it goes to stderr.
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"
#include "trainer/error.h"

namespace {

template <typename T>
void put(T value) {
  std::cout.write(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(const std::string& text) {
  put(static_cast<std::uint32_t>(text.size()));
  std::cout << text;
}

void encode(const lowpeak::tokenizer::Tokenizer& tokenizer, const std::string& text, bool special) {
  try {
    const auto encoding = tokenizer.encoding(text, special);
    put(static_cast<std::int32_t>(encoding.tokens.size()));
    for (const auto& token : encoding.tokens) put(token.id), put(token.start), put(token.end);
  } catch (const lowpeak::trainer::Error& error) {
    put(std::int32_t{-1});
    put_text(error.what());
  }
}

std::string get_text() {
  std::uint32_t size = 0;
  std::cin.read(reinterpret_cast<char*>(&size), sizeof size);
  std::string text(size, '\0');
  std::cin.read(text.data(), size);
  return text;
}

void prompt(const std::string& artifact) {
  const auto tokenizer = lowpeak::tokenizer::Tokenizer::from_file(artifact + "/tokenizer.json");
  const auto chat = lowpeak::tokenizer::Chat::from_artifact(artifact, "");
  std::uint32_t count;
  while (std::cin.read(reinterpret_cast<char*>(&count), sizeof count)) {
    std::vector<lowpeak::tokenizer::Message> messages;
    for (; count > 0; count -= 2) {
      std::string role = get_text();
      messages.push_back({std::move(role), get_text()});
    }
    try {
      const auto ids = chat.ids_of(tokenizer, chat.prompt(messages));
      put(static_cast<std::int32_t>(ids.size()));
      for (const std::int64_t id : ids) put(static_cast<std::int32_t>(id)), put(0), put(0);
    } catch (const lowpeak::trainer::Error& error) {
      put(std::int32_t{-1});
      put_text(error.what());
    }
  }
}

}  // namespace

int main(int count, char** values) {
  try {
    if (std::string(values[2]) == "prompt") {
      prompt(values[1]);
      return 0;
    }
    const auto tokenizer = lowpeak::tokenizer::Tokenizer::from_file(values[1]);
    const bool encodes = std::string(values[2]) == "encode";
    std::uint32_t size;
    while (std::cin.read(reinterpret_cast<char*>(&size), sizeof size)) {
      if (encodes) {
        std::string text(size, '\0');
        std::cin.read(text.data(), size);
        encode(tokenizer, text, count > 3);
        continue;
      }
      std::vector<std::int64_t> ids(size);
      std::cin.read(reinterpret_cast<char*>(ids.data()), static_cast<std::streamsize>(size * sizeof ids[0]));
      lowpeak::tokenizer::TextStream stream(tokenizer);
      for (const std::int64_t id : ids) put_text(stream.next(id));
      put_text(stream.rest());
    }
  } catch (const lowpeak::trainer::Error& error) {
    std::cerr << error.what();
    return 1;
  }
  return 0;
}
