// SPDX-License-Identifier: Apache-2.0
#include "veneer/backend/operand.hpp"

#include "support/catch.hpp"

namespace operand_test {

using namespace veneer;

static_assert(storage_of<float> == Storage::float32 && storage_of<double> == Storage::float64);
static_assert(storage_of<bfloat16> == Storage::bfloat16 && storage_of<half> == Storage::float16);
static_assert(arithmetic_of<float> == Storage::float32 && arithmetic_of<double> == Storage::float64);
static_assert(arithmetic_of<bfloat16> == Storage::bfloat16);
static_assert(arithmetic_of<half> == Storage::float32, "half has more bits than bfloat16 keeps");
static_assert(bytes_of(Storage::float32) == sizeof(float) && bytes_of(Storage::float64) == sizeof(double));
static_assert(bytes_of(Storage::bfloat16) == sizeof(bfloat16) && bytes_of(Storage::float16) == sizeof(half));
static_assert(bytes_of(Storage::coded) == 0);

namespace {

template <Stored In, Stored Out>
void check_product_of() {
  const In a[6] = {}, b[12] = {};
  Out c[8];
  Gemm<In, Out> g{.transpose_a = true, .m = 2, .n = 4, .k = 3};
  g.alpha = static_cast<compute_t<In>>(0.75), g.beta = static_cast<compute_t<In>>(-0.5);
  g.a = a, g.lda = 2, g.b = b, g.ldb = 5, g.c = c, g.ldc = 7;
  const Matmul p = matmul_of(g);
  CHECK((p.arithmetic == arithmetic_of<In> && p.stored == storage_of<Out>));
  CHECK((p.m == 2 && p.n == 4 && p.count == 1 && p.terms[0].k == 3));
  CHECK((p.terms[0].scale == 0.75 && p.beta == -0.5));
  CHECK((p.terms[0].a.data == a && p.terms[0].a.stride == 2 && p.terms[0].a.transposed));
  CHECK((p.terms[0].b.data == b && p.terms[0].b.stride == 5 && !p.terms[0].b.transposed));
  CHECK((p.terms[0].a.storage == storage_of<In> && p.terms[0].b.storage == storage_of<In>));
  CHECK((p.c == c && p.ldc == 7));
}

}  // namespace

TEST_CASE("matmul_of says what a Gemm says") {
  check_product_of<float, float>();
  check_product_of<double, double>();
  check_product_of<bfloat16, bfloat16>();
  check_product_of<bfloat16, float>();
  check_product_of<half, half>();
  check_product_of<half, float>();
}

}  // namespace operand_test
