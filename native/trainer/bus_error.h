// A page of a mapped file that cannot be had: the file became shorter, its disk fails or has no room left.
#pragma once

namespace lowpeak::trainer {

// From now on that ends the process with 1, after an error event with the file's name is written to the descriptor.
// Other bus errors, those that a process sends too, end it as they did.
void report_bus_errors(int events);

}  // namespace lowpeak::trainer
