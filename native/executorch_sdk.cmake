# ExecuTorch's C++ SDK, as two libraries to link:
#
#     executorch_sdk   the runtime and the thread pool
#     stock_kernels    the stock kernels, which register themselves in the program that links them
#
# executorch_ROOT or CMAKE_PREFIX_PATH names it, an unpacked wheel; else it is the executorch package of
# Python_EXECUTABLE.
find_package(executorch CONFIG QUIET)
if(NOT executorch_FOUND)
  find_python_package(executorch_package executorch)
  find_package(executorch CONFIG REQUIRED PATHS "${executorch_package}" NO_DEFAULT_PATH)
endif()
message(STATUS "ExecuTorch: ${executorch_DIR}")
if(NOT EXECUTORCH_RUNTIME_LIBRARY_DIR)
  message(FATAL_ERROR "the ExecuTorch in ${executorch_DIR} has no shared runtime: lowpeak is built against the one of "
                      "the executorch wheel, not against one that was built from source")
endif()

add_library(executorch_sdk INTERFACE)
target_include_directories(executorch_sdk SYSTEM INTERFACE ${EXECUTORCH_INCLUDE_DIRS})
target_compile_definitions(executorch_sdk INTERFACE ${EXECUTORCH_COMPILE_DEFINITIONS})
add_library(stock_kernels INTERFACE)
# Nothing refers to them: they register themselves when they are loaded.
target_link_options(stock_kernels INTERFACE -Wl,--no-as-needed)
target_link_libraries(stock_kernels INTERFACE executorch_sdk)

# By path: the package's own targets would record the folder that they lie in.
function(link_executorch target)
  foreach(library ${ARGN})
    target_link_libraries(${target} INTERFACE "${EXECUTORCH_RUNTIME_LIBRARY_DIR}/lib${library}.so")
  endforeach()
endfunction()
link_executorch(executorch_sdk executorch executorch_threadpool)
link_executorch(stock_kernels executorch_kernels_optimized executorch_kernels_quantized)
