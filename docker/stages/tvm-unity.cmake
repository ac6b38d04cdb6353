# Sources that do not compile in one unit with others: their file-local names clash.
set_source_files_properties(
  src/tir/transforms/make_packed_api.cc
  src/tir/transforms/make_unpacked_api.cc
  src/relax/transform/remove_unused_parameters.cc
  src/relax/transform/reorder_take_after_matmul.cc
  src/target/opt/build_rocm_off.cc
  PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
