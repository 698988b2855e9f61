# For a build of the peers that is to be fast: llama.cpp's folder `common`, which takes most of it, is compiled in batches.
# CMake includes this before llama.cpp's own first project.

function(slmprof_batch_common)
  if(TARGET llama-common)
    set_target_properties(llama-common PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    # Specializes templates that other files have used.
    set_source_files_properties(common/json.cpp DIRECTORY common PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
endfunction()

# Not before the target is there.
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL slmprof_batch_common)
