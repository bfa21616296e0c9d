#include "tokenizer/text.h"

#include "trainer/error.h"

namespace lowpeak::tokenizer {

Text::Text(const Text& other, std::size_t start, std::size_t end)
    : characters_(other.characters_.substr(start, end - start)),
      origin_(other.origin_ + start),
      most_(most_of(end - start)) {
  if (other.places_.empty()) return;
  places_.assign(other.places_.begin() + static_cast<std::ptrdiff_t>(start),
                 other.places_.begin() + static_cast<std::ptrdiff_t>(end));
}

Place Text::place_at(std::size_t byte) const {
  if (!places_.empty()) return places_[byte];
  std::size_t start = byte + 1;
  start = before(characters_, start);
  const std::size_t end = start + length_at(characters_.data() + start);
  return {static_cast<std::uint32_t>(origin_ + start), static_cast<std::uint32_t>(origin_ + end)};
}

Place Text::place_of(std::size_t start, std::size_t end) const {
  return {place_at(start).start, place_at(end - 1).end};
}

void Text::require_room(std::size_t bytes) const {
  if (bytes <= most_) return;
  throw trainer::data_error("tokenizer.json makes " + std::to_string(bytes) + " bytes of a text with far less");
}

void Text::track() {
  if (!places_.empty()) return;
  std::vector<Place> places;
  places.reserve(characters_.size());
  for (std::size_t i = 0; i < characters_.size(); ++i) places.push_back(place_at(i));
  places_ = std::move(places);
}

void Text::compose() {
  if (is_composed(characters_)) return;
  track();
  std::string made;
  std::vector<Place> places;
  std::size_t read = 0;
  for (const Change& each : composed(characters_)) {
    // What is put beside a character stands for the same.
    const Place place = each.change <= 0 ? places_[read] : read > 0 ? places_[read - 1] : Place{0, 0};
    for (int left = 1 - each.change; left > 0; --left) read += length_at(characters_.data() + read);
    append(made, each.character);
    places.resize(made.size(), place);
  }
  characters_ = std::move(made);
  places_ = std::move(places);
}

void Text::replace(const std::vector<Match>& matches, const std::string& content) {
  if (matches.empty()) return;
  require_room(characters_.size() + matches.size() * content.size());
  track();
  std::string made;
  std::vector<Place> places;
  std::size_t done = 0;
  const auto keep = [&](std::size_t end) {
    made.append(characters_, done, end - done);
    places.insert(places.end(), places_.begin() + static_cast<std::ptrdiff_t>(done),
                  places_.begin() + static_cast<std::ptrdiff_t>(end));
  };
  for (const Match& match : matches) {
    keep(match.start);
    made += content;
    places.resize(made.size(), places_[match.end - 1]);
    done = match.end;
  }
  keep(characters_.size());
  characters_ = std::move(made);
  places_ = std::move(places);
}

void Text::prepend(const std::string& content) {
  if (empty()) return;
  require_room(characters_.size() + content.size());
  track();
  places_.insert(places_.begin(), content.size(), places_.front());
  characters_.insert(0, content);
}

}  // namespace lowpeak::tokenizer
