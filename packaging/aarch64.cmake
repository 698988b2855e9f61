# Toolchain of the preset `aarch64`: Debian's cross compiler, with the Python of a folder that packaging/aarch64.sh fills.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
if(NOT DEFINED CMAKE_C_COMPILER)
  set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
endif()
if(NOT DEFINED CMAKE_CXX_COMPILER)
  set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
endif()
# What is run while building is this machine's.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

set(SLMPROF_SYSROOT "$ENV{SLMPROF_SYSROOT}" CACHE PATH "A folder with aarch64's Debian packages of Python")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SLMPROF_SYSROOT)
file(GLOB _headers ${SLMPROF_SYSROOT}/usr/include/python3.*)
list(LENGTH _headers _n_headers)
if(NOT _n_headers EQUAL 1)
  message(FATAL_ERROR "slmprof: SLMPROF_SYSROOT, '${SLMPROF_SYSROOT}', has the headers of ${_n_headers} Pythons instead of one")
endif()
# The headers and the module's name are those of the Python that loads it, not of the one that runs the build's scripts.
set(Python_INCLUDE_DIR ${_headers} CACHE PATH "")
string(REGEX REPLACE "^.*/python3\\.([0-9]+)$" "3\\1" _tag ${_headers})
set(PYTHON_MODULE_EXTENSION ".cpython-${_tag}-aarch64-linux-gnu.so" CACHE STRING "")
set(PYTHON_MODULE_DEBUG_POSTFIX "" CACHE STRING "")

if(NOT DEFINED CMAKE_CROSSCOMPILING_EMULATOR)
  find_program(SLMPROF_QEMU NAMES qemu-aarch64-static qemu-aarch64)
  if(SLMPROF_QEMU)
    set(CMAKE_CROSSCOMPILING_EMULATOR ${SLMPROF_QEMU} -cpu cortex-a76 -L ${SLMPROF_SYSROOT})
  endif()
endif()
