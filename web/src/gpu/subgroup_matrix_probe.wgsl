// Every form in which the kernels of wsd/kernels load and store subgroup matrices.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Result = subgroup_matrix_result<f32, 16, 16>;
@group(0) @binding(0) var<storage, read> packed : array<array<vec4<u32>, 32>>;
var<workgroup> parts : array<array<vec2<u32>, 128>, 2>;
var<workgroup> halves : array<array<f16, 256>, 2>;
var<workgroup> scores : array<array<f32, 256>, 2>;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) thread : u32) {
  let index = thread / 32u;
  let key = subgroupMatrixLoad<Right, row_major>(&packed[index], 0u, 2u);
  let query = subgroupMatrixLoad<Left, row_major>(&packed[index], 0u, 2u);
  var sum = subgroupMatrixMultiplyAccumulate(query, key, Result());
  let a = subgroupMatrixLoad<Left, row_major>(&parts[index], 0u, 4u);
  let w = subgroupMatrixLoad<Right, col_major>(&parts[index], 0u, 4u);
  sum = subgroupMatrixMultiplyAccumulate(a, w, sum);
  subgroupMatrixStore<row_major>(&parts[index], 0u, sum, 8u);
  let weight = subgroupMatrixLoad<Left, col_major>(&halves[index], 0u, 16u);
  sum = subgroupMatrixMultiplyAccumulate(weight, key, sum);
  subgroupMatrixStore<col_major>(&scores[index], 0u, sum, 16u);
  sum = subgroupMatrixLoad<Result, col_major>(&scores[index], 0u, 16u);
  subgroupMatrixStore<row_major>(&scores[index], 0u, sum, 16u);
}
