// What kind of value each argument of a kernel is: kernels stop the process for another.
#pragma once

#include <string>
#include <string_view>

namespace lowpeak::trainer {

// A letter an argument, in the order of a program's call, which repeats at its end what is written:
//
//     T t    a tensor; the small letter also for none       a      a list of tensors
//     w      a tensor that is changed                        o      a list of tensors or none
//     >      a tensor that is written                        s S    a text; or none
//     i I    a whole number; or none                         l L    a list of whole numbers; or none
//     f F    a fraction; or none                             D      a list of fractions, or none
//     n N    a number or a flag; or none                     v      a list of flags
//     b B    a flag; or none                                 z      none
//     y Y    an element type; or none                        *      alone: any tensors, none written
//
// Null for a kernel that no program of lowpeak calls.
const char* signature_of(const std::string& operator_name);

// Whether lowpeak knows all operators of the name's namespace: others may be of a library of the user's.
bool is_known_namespace(std::string_view operator_name);

}  // namespace lowpeak::trainer
