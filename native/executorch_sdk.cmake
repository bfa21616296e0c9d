# ExecuTorch's C++ SDK, as two libraries to link:
#
#     executorch_sdk   the runtime and the thread pool
#     stock_kernels    the stock kernels, which register themselves in the program that links them
#
# executorch_ROOT or CMAKE_PREFIX_PATH names it: an unpacked wheel, with shared libraries, or the install tree of a build
# from source, with static ones, which is what there is for Android; EXECUTORCH_SOURCE_FOLDER then names the sources.
# Else it is the executorch package of Python_EXECUTABLE. Sets LOWPEAK_STATIC: whether the runner is one executable with
# our operators in it.
find_package(executorch CONFIG QUIET CMAKE_FIND_ROOT_PATH_BOTH)
if(NOT executorch_FOUND AND executorch_ROOT)
  message(FATAL_ERROR "there is no ExecuTorch in ${executorch_ROOT}: executorch_ROOT is an unpacked wheel of it, or the "
                      "folder that a build from source was installed to")
endif()
if(NOT executorch_FOUND AND CMAKE_CROSSCOMPILING)
  message(FATAL_ERROR "executorch_ROOT names no ExecuTorch for ${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR}; the "
                      "executorch package of Python is for this machine")
endif()
if(NOT executorch_FOUND)
  find_python_package(executorch_package executorch)
  find_package(executorch CONFIG REQUIRED PATHS "${executorch_package}" NO_DEFAULT_PATH)
endif()
message(STATUS "ExecuTorch: ${executorch_DIR}")

add_library(executorch_sdk INTERFACE)
target_include_directories(executorch_sdk SYSTEM INTERFACE ${EXECUTORCH_INCLUDE_DIRS})
add_library(stock_kernels INTERFACE)
target_link_libraries(stock_kernels INTERFACE executorch_sdk)

if(EXECUTORCH_RUNTIME_LIBRARY_DIR)
  set(LOWPEAK_STATIC OFF)
  if(ANDROID)
    message(FATAL_ERROR "the ExecuTorch in ${executorch_DIR} has the shared runtime of a wheel, which is not for Android: "
                        "build ExecuTorch from source with the NDK's toolchain file, and name its install tree by "
                        "executorch_ROOT")
  endif()
  target_compile_definitions(executorch_sdk INTERFACE ${EXECUTORCH_COMPILE_DEFINITIONS})
  # Nothing refers to them: they register themselves when they are loaded.
  target_link_options(stock_kernels INTERFACE -Wl,--no-as-needed)
  # By path: the package's own targets would record the folder that they lie in.
  function(link_executorch target)
    foreach(library ${ARGN})
      target_link_libraries(${target} INTERFACE "${EXECUTORCH_RUNTIME_LIBRARY_DIR}/lib${library}.so")
    endforeach()
  endfunction()
  link_executorch(executorch_sdk executorch executorch_threadpool)
  link_executorch(stock_kernels executorch_kernels_optimized executorch_kernels_quantized)
else()
  set(LOWPEAK_STATIC ON)
  if(TARGET executorch-shared)
    message(FATAL_ERROR "the ExecuTorch in ${executorch_DIR} was built with EXECUTORCH_BUILD_SHARED, so a program would "
                        "have two registries of kernels: build it without")
  endif()
  set(runtime_targets executorch_core extension_data_loader extension_flat_tensor extension_threadpool)
  # They register operators; portable_ops_lib and optimized_ops_lib would register some of them again.
  set(kernel_targets executorch optimized_native_cpu_ops_lib quantized_ops_lib)
  set(missing "")
  foreach(target ${runtime_targets} ${kernel_targets})
    if(NOT TARGET ${target})
      string(APPEND missing " ${target}")
    endif()
  endforeach()
  if(missing)
    message(FATAL_ERROR "the ExecuTorch in ${executorch_DIR} has no${missing}: build it with EXECUTORCH_BUILD_ and each of "
                        "EXTENSION_DATA_LOADER, EXTENSION_FLAT_TENSOR, EXTENSION_NAMED_DATA_MAP, EXTENSION_MODULE, "
                        "EXTENSION_TENSOR, KERNELS_OPTIMIZED, KERNELS_QUANTIZED, CPUINFO and PTHREADPOOL set to ON")
  endif()
  # Each says itself that it is linked whole; a second time would register its operators again.
  foreach(target ${kernel_targets})
    get_target_property(options ${target} INTERFACE_LINK_OPTIONS)
    if(NOT "${options}" MATCHES "--whole-archive")
      message(FATAL_ERROR "${target} of the ExecuTorch in ${executorch_DIR} does not say that it is linked whole, as that "
                          "of 1.5 does: its operators would be missing")
    endif()
  endforeach()
  # An install tree leaves out the headers of a part that it has.
  set(header extension/flat_tensor/flat_tensor_data_map.h)
  if(NOT EXISTS "${EXECUTORCH_SOURCE_FOLDER}/${header}")
    message(FATAL_ERROR "EXECUTORCH_SOURCE_FOLDER is to name the folder of sources, executorch, that the ExecuTorch in "
                        "${executorch_DIR} was built from: ${header} is there, and not in the install tree")
  endif()
  target_include_directories(executorch_sdk SYSTEM INTERFACE "${EXECUTORCH_SOURCE_FOLDER}/..")
  target_link_libraries(executorch_sdk INTERFACE ${runtime_targets})
  target_link_libraries(stock_kernels INTERFACE ${kernel_targets})
endif()
