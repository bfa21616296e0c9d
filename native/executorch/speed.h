// How fast the kernels are on the threads that there are now.
#pragma once

extern "C" {

// Runs products with int4 weights, as large as those of a small model, on the thread pool for about `seconds` ->
// products a second; 0 if there is no memory.
double lowpeak_products_per_second(double seconds);
}
