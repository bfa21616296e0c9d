// SHA-512 (FIPS 180-4).
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace lowpeak::encode {

std::array<std::uint8_t, 64> sha512_of(const std::string& text);

}  // namespace lowpeak::encode
