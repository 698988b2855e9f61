# Unit tests of csrc/cuda. They need neither llama.cpp nor CUDA nor a GPU: a table of functions stands for
# CUPTI. What reads CUPTI's own structs is tested where SLMPROF_CUPTI_DIR has its headers, and with them
# cuda.h: that of a CUDA toolkit or of the packages nvidia-cuda-cupti and nvidia-cuda-runtime. A second
# folder for cuda.h may follow.

set(SLMPROF_CUPTI_DIR "" CACHE STRING "Folders with the headers of CUPTI and CUDA, or above an include with them")

set(_csrc ${CMAKE_CURRENT_LIST_DIR}/../../csrc)
set(_cuda_sources
  ${_csrc}/record/clock.cpp
  ${_csrc}/cuda/activity_buffers.cpp
  ${_csrc}/cuda/clock_alignment.cpp
  ${_csrc}/cuda/device_activity.cpp
  ${_csrc}/cuda/device_observer.cpp
  ${_csrc}/cuda/cupti_library.cpp
  ${_csrc}/cuda/device_timeline.cpp
  ${_csrc}/cuda/graph_nodes.cpp
  ${_csrc}/cuda/issues.cpp
  ${_csrc}/cuda/join_inputs.cpp
  ${_csrc}/cuda/joiner.cpp
  ${_csrc}/cuda/pool_watch.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cuda_joins.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cuda_main.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cuda_script.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_buffers.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_clock_alignment.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_device_activity.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_device_timeline.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_graph_nodes.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_join_faults.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_join_inputs.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_joiner.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_library.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_observer.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cuda_pools.cpp)
set(_cupti_sources
  ${_csrc}/cuda/cupti_api.cpp
  ${_csrc}/cuda/cupti_session.cpp
  ${_csrc}/cuda/record_reader.cpp
  ${CMAKE_CURRENT_LIST_DIR}/fake_cupti.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cupti_library.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cupti_records.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cupti_refusals.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cupti_session.cpp)

find_package(Threads REQUIRED)
find_path(SLMPROF_DOCTEST_INCLUDE doctest/doctest.h REQUIRED)  # Debian: doctest-dev
find_path(SLMPROF_CUPTI_INCLUDE cupti.h PATHS ${SLMPROF_CUPTI_DIR} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_path(SLMPROF_CUDA_INCLUDE cuda.h PATHS ${SLMPROF_CUPTI_DIR} PATH_SUFFIXES include NO_DEFAULT_PATH)

add_executable(cuda-tests ${_cuda_sources})
target_include_directories(cuda-tests PRIVATE ${_csrc} ${CMAKE_CURRENT_LIST_DIR})
target_include_directories(cuda-tests SYSTEM PRIVATE ${SLMPROF_DOCTEST_INCLUDE})
target_link_libraries(cuda-tests PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
target_compile_features(cuda-tests PRIVATE cxx_std_17)
target_compile_options(cuda-tests PRIVATE -Wall -Wextra)
if(SLMPROF_WARNINGS_AS_ERRORS)
  target_compile_options(cuda-tests PRIVATE -Werror)
endif()
if(SLMPROF_SANITIZE STREQUAL "address")
  target_compile_options(cuda-tests PRIVATE -fsanitize=undefined -fno-sanitize-recover=undefined)
  target_link_options(cuda-tests PRIVATE -fsanitize=undefined)
endif()
if(SLMPROF_CUPTI_INCLUDE AND SLMPROF_CUDA_INCLUDE)
  target_sources(cuda-tests PRIVATE ${_cupti_sources})
  target_include_directories(cuda-tests SYSTEM PRIVATE ${SLMPROF_CUPTI_INCLUDE} ${SLMPROF_CUDA_INCLUDE})
  target_compile_definitions(cuda-tests PRIVATE SLMPROF_HAS_CUPTI=1)
elseif(SLMPROF_CUPTI_DIR)
  message(FATAL_ERROR "SLMPROF_CUPTI_DIR (${SLMPROF_CUPTI_DIR}) has no cupti.h, or there is no cuda.h")
endif()
add_test(NAME cuda COMMAND cuda-tests)
