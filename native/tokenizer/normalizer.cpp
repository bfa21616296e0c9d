#include "tokenizer/normalizer.h"

#include "tokenizer/config.h"
#include "tokenizer/pattern.h"

namespace lowpeak::tokenizer {

Normalizer::Normalizer(const trainer::JsonReader& json) {
  for (const trainer::JsonReader& each : members_of(json, "normalizers")) {
    const std::string type = each.at("type").text();
    if (type == "NFC") {
      require_known(each, type, {"type"});
      steps_.emplace_back([](Text& text) { text.compose(); });
    } else if (type == "Replace") {
      require_known(each, type, {"type", "pattern", "content"});
      steps_.emplace_back([pattern = Pattern(each.at("pattern")), content = each.at("content").text()](Text& text) {
        text.replace(pattern.matches(text.characters()), content);
      });
    } else if (type == "Prepend") {
      require_known(each, type, {"type", "prepend"});
      steps_.emplace_back([content = each.at("prepend").text()](Text& text) { text.prepend(content); });
    } else {
      throw unsupported("the normalizer " + type);
    }
  }
}

}  // namespace lowpeak::tokenizer
