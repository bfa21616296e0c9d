// tokenizer.json, and a text that is encoded with it and said again: behind the last byte 0 of the input, if it has
// one.
#include "tokenizer/tokenizer.h"

#include <string_view>

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return lowpeak::fuzz::refused_or_read([&] {
    const std::string_view whole(reinterpret_cast<const char*>(data), size);
    const std::size_t split = whole.rfind('\0');
    const bool has_text = split != std::string_view::npos;
    const std::string text(has_text ? whole.substr(split + 1) : "Hello,  w\xC3\xB6rld \n\n1234 \xF0\x9F\x98\x80  a");
    const lowpeak::fuzz::InputFile input(data, has_text ? split : size);
    const auto tokenizer = lowpeak::tokenizer::Tokenizer::from_file(input.path());
    const auto encoding = tokenizer.encoding(text, true);
    for (const auto& token : encoding.tokens) {
      if (token.start > token.end || token.end > text.size()) std::abort();
    }
    lowpeak::tokenizer::TextStream stream(tokenizer);
    for (const auto& token : encoding.tokens) stream.next(token.id);
    stream.rest();
  });
}
