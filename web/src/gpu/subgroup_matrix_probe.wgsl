// How kernels load a subgroup matrix: from an array in an array, in the order that a parameter names.
enable f16;
enable chromium_experimental_subgroup_matrix;
var<workgroup> parts : array<array<vec2<u32>, 64>, 2>;
@compute @workgroup_size(32)
fn main() {
  _ = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&parts[1], 0u, 4u);
}
