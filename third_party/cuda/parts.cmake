# What a build with CUDA takes from where. From the toolkit: its compiler, its headers, and its runtime,
# statically, so that the module needs no toolkit to be loaded. Sets:
#   SLMPROF_CUPTI_INCLUDE   the folder of CUPTI's headers
#   SLMPROF_CUBLAS_FOLDERS  folders of the package's cuBLAS, as the installed module sees them
# Neither the driver nor CUPTI is linked: both are loaded at run time (csrc/cuda/driver.cpp,
# csrc/cuda/cupti_library.cpp), so that the module also works where there is no GPU.

set(SLMPROF_CUPTI_DIR "" CACHE STRING "Folders with the headers of CUPTI and CUDA, or above an include with them")

# Names under which FindCUDAToolkit would have found shared libraries.
add_library(CUDA::cuda_driver INTERFACE IMPORTED)
add_library(CUDA::cudart INTERFACE IMPORTED)
find_package(CUDAToolkit 12 REQUIRED)
set_property(TARGET CUDA::cudart PROPERTY INTERFACE_LINK_LIBRARIES CUDA::cudart_static)

# Packages such as nvidia-cublas and nvidia-cuda-cupti put their files below the Python's site-packages.
execute_process(
  COMMAND ${Python_EXECUTABLE} -c "import sysconfig; print(sysconfig.get_path('purelib'))"
  OUTPUT_VARIABLE _site OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(_package_folders ${_site}/nvidia/cu${CUDAToolkit_VERSION_MAJOR})

set(SLMPROF_CUBLAS_FOLDERS "")
if(NOT TARGET CUDA::cublas)
  find_path(SLMPROF_CUBLAS_INCLUDE cublas_v2.h
    PATHS ${_package_folders} ${_site}/nvidia/cublas PATH_SUFFIXES include NO_DEFAULT_PATH)
  file(GLOB _cublas ${SLMPROF_CUBLAS_INCLUDE}/../lib/libcublas.so.*)
  if(NOT SLMPROF_CUBLAS_INCLUDE OR NOT _cublas)
    message(FATAL_ERROR "slmprof: the CUDA toolkit ${CUDAToolkit_VERSION} has no cuBLAS; install it, or the package "
      "nvidia-cublas (nvidia-cublas-cu12 for CUDA 12) for ${Python_EXECUTABLE}")
  endif()
  list(GET _cublas 0 _cublas)
  add_library(CUDA::cublas INTERFACE IMPORTED)
  set_target_properties(CUDA::cublas PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES ${SLMPROF_CUBLAS_INCLUDE} INTERFACE_LINK_LIBRARIES ${_cublas})
  set(SLMPROF_CUBLAS_FOLDERS $ORIGIN/../nvidia/cu${CUDAToolkit_VERSION_MAJOR}/lib $ORIGIN/../nvidia/cublas/lib)
endif()

find_path(SLMPROF_CUPTI_INCLUDE cupti.h
  PATHS ${SLMPROF_CUPTI_DIR} ${CUDAToolkit_INCLUDE_DIRS} ${CUDAToolkit_LIBRARY_ROOT}/extras/CUPTI ${_package_folders}
        ${_site}/nvidia/cuda_cupti
  PATH_SUFFIXES include NO_DEFAULT_PATH)
if(NOT SLMPROF_CUPTI_INCLUDE)
  message(FATAL_ERROR "slmprof: there are no headers of CUPTI; install the toolkit's CUPTI, or the package nvidia-cuda-cupti "
    "(nvidia-cuda-cupti-cu12 for CUDA 12) for ${Python_EXECUTABLE}, or name their folder in SLMPROF_CUPTI_DIR")
endif()
message(STATUS "slmprof: CUDA ${CUDAToolkit_VERSION}, CUPTI's headers from ${SLMPROF_CUPTI_INCLUDE}")
