// What native/trainer would choose on another machine, for test_threads.py.
//
//     threads processors FOLDER NUMBER...    the big ones of these processors
//     threads count PROCESSORS SPEED...      the number of threads, for speeds on 0, 1, 2, ... threads
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "trainer/processors.h"
#include "trainer/thread_choice.h"

int main(int count, char** values) {
  using namespace lowpeak::trainer;
  const std::string verb = values[1];
  if (verb == "processors") {
    std::vector<int> allowed;
    for (int i = 3; i < count; ++i) allowed.push_back(std::atoi(values[i]));
    for (const int number : big_processors(values[2], allowed)) std::printf("%d\n", number);
    return 0;
  }
  const ThreadChoice choice =
      fastest(std::atoi(values[2]), [values](int threads) { return std::atof(values[3 + threads]); });
  std::printf("%d\n%s\n", choice.count, choice.reason.c_str());
  return 0;
}
