// SPDX-License-Identifier: Apache-2.0
#include "veneer/backend/cpu/kernels.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/kernels.hpp"
#include "support/products.hpp"

namespace kernels_test {

using namespace veneer;
using cpu::Word;
using testing::normal_value;

namespace {

constexpr index_t longest = 70, guard = 64;

/// Values at an address that is `shift` elements after one aligned to 64 bytes, with guards on both sides.
template <class T>
class Run {
 public:
  Run(index_t count, index_t shift) : count_(count), values_(static_cast<std::size_t>(count + shift + 3 * guard)) {
    std::memset(static_cast<void*>(values_.data()), 0x5a, values_.size() * sizeof(T));
    const auto address = reinterpret_cast<std::uintptr_t>(values_.data() + guard);
    const auto ahead = static_cast<index_t>((64 - address % 64) % 64 / sizeof(T));
    begin_ = guard + ahead + shift;
  }
  T* data() { return values_.data() + begin_; }
  T& operator[](index_t i) { return data()[i]; }

  /// Returns whether both have the same bits, and the guards are unchanged.
  bool same(const Run& other) const {
    const auto* mine = values_.data() + begin_;
    const auto* theirs = other.values_.data() + other.begin_;
    return std::memcmp(mine - guard, theirs - guard, static_cast<std::size_t>(count_ + 2 * guard) * sizeof(T)) == 0;
  }

 private:
  index_t count_, begin_ = 0;
  std::vector<T> values_;
};

const cpu::Kernels& plain() { return cpu::generic::table; }

/// Calls f(kernels) with the tables other than the generic one.
template <class F>
void with_each_other_set(const F& f) {
  testing::with_each_set([&](const cpu::Kernels& kernels) {
    if (&kernels != &plain()) f(kernels);
  });
}

/// Calls f with every count from 0 to `longest`, from every address of a cache line.
template <class F>
void for_each_run(const F& f) {
  for (index_t count = 0; count <= longest; ++count) {
    for (const index_t shift : {0, 1, 2, 7, 8, 15, 17, 31}) f(count, shift);
  }
}

/// Converts all 65536 patterns of 16 bits with `kernel`.
template <class T, class Kernel>
std::vector<std::uint32_t> widened(const Kernel& kernel) {
  std::vector<T> from(65536);
  for (std::size_t i = 0; i < from.size(); ++i) from[i].bits = static_cast<std::uint16_t>(i);
  std::vector<float> to(from.size());
  kernel(from.data(), 65536, to.data());
  std::vector<std::uint32_t> bits(from.size());
  std::memcpy(bits.data(), to.data(), to.size() * sizeof(float));
  return bits;
}

/// Returns hard cases of rounding to bfloat16: every upper half with lower halves around a tie.
std::vector<float> hard_floats() {
  std::vector<float> values;
  for (std::uint32_t high = 0; high < 65536; ++high) {
    for (const std::uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      values.push_back(detail::float_from_bits(high << 16 | low));
    }
  }
  return values;
}

}  // namespace

TEST_CASE("widen gives the same bits for every bfloat16") {
  const std::vector<std::uint32_t> expected = widened<bfloat16>(plain().widen);
  for (std::size_t i = 0; i < 65536; ++i) REQUIRE(expected[i] == i << 16);
  with_each_other_set([&](const cpu::Kernels& kernels) {
    CAPTURE(kernels.name);
    CHECK(widened<bfloat16>(kernels.widen) == expected);
  });
}

TEST_CASE("widen_half gives the same bits for every half, a NaN made quiet") {
  const std::vector<std::uint32_t> expected = widened<half>(plain().widen_half);
  for (const std::uint32_t bits : expected) REQUIRE(((bits & 0x7fffffffu) <= 0x7f800000u || (bits & 0x400000u) != 0));
  with_each_other_set([&](const cpu::Kernels& kernels) {
    CAPTURE(kernels.name);
    CHECK(widened<half>(kernels.widen_half) == expected);
  });
}

TEST_CASE("narrow and narrow_past round every float as bfloat16 does") {
  const std::vector<float> from = hard_floats();
  std::vector<bfloat16> expected(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) expected[i] = bfloat16(from[i]);
  const auto check = [&](const cpu::Kernels& kernels, auto narrow) {
    std::vector<bfloat16> found(from.size());
    narrow(from.data(), static_cast<index_t>(from.size()), found.data());
    CAPTURE(kernels.name);
    CHECK(std::memcmp(found.data(), expected.data(), found.size() * sizeof(bfloat16)) == 0);
  };
  testing::with_each_set([&](const cpu::Kernels& kernels) {
    check(kernels, kernels.narrow);
    if (kernels.narrow_past == nullptr) return;
    check(kernels, kernels.narrow_past);
    REQUIRE(kernels.fence != nullptr);
    kernels.fence();
  });
}

TEST_CASE("runs of any length and address are converted, and nothing past them") {
  with_each_other_set([&](const cpu::Kernels& kernels) {
    index_t wrong = 0;
    for_each_run([&](index_t count, index_t shift) {
      Run<float> floats(count, shift), wide(count, shift), wide_too(count, shift);
      Run<bfloat16> brains(count, shift), narrow(count, shift), narrow_too(count, shift);
      Run<half> halves(count, shift);
      for (index_t i = 0; i < count; ++i) {
        floats[i] = static_cast<float>(normal_value(static_cast<std::uint64_t>(i + shift)));
        brains[i] = bfloat16(floats[i]), halves[i] = half(floats[i]);
      }
      kernels.widen(brains.data(), count, wide.data()), plain().widen(brains.data(), count, wide_too.data());
      wrong += !wide.same(wide_too);
      kernels.widen_half(halves.data(), count, wide.data()), plain().widen_half(halves.data(), count, wide_too.data());
      wrong += !wide.same(wide_too);
      plain().narrow(floats.data(), count, narrow_too.data());
      for (const auto& kernel : {kernels.narrow, kernels.narrow_past}) {
        if (kernel == nullptr) continue;
        Run<bfloat16> found(count, shift);
        kernel(floats.data(), count, found.data());
        wrong += !found.same(narrow_too);
      }
    });
    CAPTURE(kernels.name);
    CHECK(wrong == 0);
  });
}

TEST_CASE("interleave weaves runs of any length and address") {
  testing::with_each_set([&](const cpu::Kernels& kernels) {
    index_t wrong = 0;
    for_each_run([&](index_t count, index_t shift) {
      Run<bfloat16> even(count, shift), odd(count, 3), found(2 * count, shift), expected(2 * count, shift);
      for (index_t i = 0; i < count; ++i) {
        even[i].bits = static_cast<std::uint16_t>(i), odd[i].bits = static_cast<std::uint16_t>(0xff00 + i);
        expected[2 * i] = even[i], expected[2 * i + 1] = odd[i];
      }
      kernels.interleave(even.data(), odd.data(), count, found.data());
      wrong += !found.same(expected);
    });
    CAPTURE(kernels.name);
    CHECK(wrong == 0);
  });
}

TEST_CASE("transpose turns up to 16 rows, from and to any distance of rows") {
  testing::with_each_set([&](const cpu::Kernels& kernels) {
    index_t wrong = 0;
    for (index_t rows = 1; rows <= 16; ++rows) {
      for (index_t columns = 0; columns <= longest; ++columns) {
        const index_t stride = columns + columns % 3, to_stride = 16 + rows % 4 * 5;
        // Words may begin at any even address.
        Run<std::uint16_t> from(2 * 16 * stride, columns % 5), found(2 * longest * to_stride, rows % 3);
        Run<std::uint16_t> expected(2 * longest * to_stride, rows % 3);
        for (index_t i = 0; i < 2 * 16 * stride; ++i) from[i] = static_cast<std::uint16_t>(i * 31);
        for (index_t i = 0; i < rows; ++i) {
          for (index_t j = 0; j < columns; ++j) {
            std::memcpy(expected.data() + 2 * (j * to_stride + i), from.data() + 2 * (i * stride + j), 4);
          }
        }
        kernels.transpose(reinterpret_cast<const Word*>(from.data()), stride, rows, columns,
                          reinterpret_cast<Word*>(found.data()), to_stride);
        wrong += !found.same(expected);
      }
    }
    CAPTURE(kernels.name);
    CHECK(wrong == 0);
  });
}

TEST_CASE("look_up and look_up_bfloat16 scale the values of codes, in blocks of any size") {
  std::vector<float> values(16);
  for (std::size_t i = 0; i < 16; ++i) values[i] = static_cast<float>(normal_value(i));
  std::vector<float> scales(64);
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<float>(normal_value(100 + i));
  scales[3] = std::numeric_limits<float>::infinity(), scales[5] = 0.0f, scales[6] = 1e-42f;
  testing::with_each_set([&](const cpu::Kernels& kernels) {
    index_t wrong = 0;
    for (const index_t block : {32, 64, 128, 4096}) {
      for (const index_t count : {0, 32, 64, 96, 160, 256, 1024}) {
        for (const index_t shift : {0, 1, 5, 33}) {
          Run<std::uint8_t> codes(count / 2, shift);
          Run<float> found(count, shift), expected(count, shift);
          Run<bfloat16> short_found(count, shift), short_expected(count, shift);
          for (index_t i = 0; i < count / 2; ++i) codes[i] = static_cast<std::uint8_t>(i * 37 + shift);
          for (index_t i = 0; i < count; ++i) {
            const auto code = static_cast<std::size_t>(i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15);
            expected[i] = values[code] * scales[static_cast<std::size_t>(i / block)];
            short_expected[i] = bfloat16(expected[i]);
          }
          kernels.look_up(codes.data(), count, values.data(), scales.data(), block, found.data());
          kernels.look_up_bfloat16(codes.data(), count, values.data(), scales.data(), block, short_found.data());
          wrong += !found.same(expected);
          wrong += !short_found.same(short_expected);
        }
      }
    }
    CAPTURE(kernels.name);
    CHECK(wrong == 0);
  });
}

namespace {

/// Returns the error of C relative to 2 k roundings; infinity if a sum has a larger error, or if other
/// memory is written.
/// \param b  element p of row j of B
template <Real T, class B>
double dots_error(index_t rows, index_t columns, index_t steps, Run<T>& a, index_t a_stride, const B& b, Run<T>& c) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double largest = 0.0;
  const Run<T> kept(rows * columns, 0);
  for (index_t i = 0; i < rows; ++i) {
    for (index_t j = 0; j < columns; ++j) {
      double sum = 0.0, magnitude = 0.0;
      for (index_t p = 0; p < steps; ++p) {
        const double product = static_cast<double>(a[i * a_stride + p]) * b(j, p);
        sum += product, magnitude += std::abs(product);
      }
      const double bound = 2.0 * static_cast<double>(steps + 2) * std::numeric_limits<T>::epsilon() / 2.0 * magnitude;
      const double difference = std::abs(static_cast<double>(c[columns * i + j]) - sum);
      if (!(difference <= bound)) return infinity;
      if (difference > 0.0) largest = std::max(largest, difference / bound);
      std::memset(&c[columns * i + j], 0x5a, sizeof(T));
    }
  }
  return c.same(kept) ? largest : infinity;
}

/// Returns the largest error of dot products of every shape used by callers, see above.
template <Real T, class W>
double dots_error(void (*dots)(const cpu::Dots<T, W>&)) {
  double largest = 0.0;
  for (index_t rows = 1; rows <= 13; ++rows) {
    for (index_t columns = 1; columns <= 3; ++columns) {
      for (index_t steps = 0; steps <= longest; ++steps) {
        const index_t a_stride = steps + 1, b_stride = steps + 3;
        Run<T> a(rows * a_stride, steps % 7), c(columns * rows, 0);
        Run<W> b(columns * b_stride, steps % 3);
        for (index_t i = 0; i < rows * a_stride; ++i)
          a[i] = static_cast<T>(normal_value(static_cast<std::uint64_t>(i)));
        for (index_t i = 0; i < columns * b_stride; ++i) {
          b[i] = W(static_cast<T>(normal_value(static_cast<std::uint64_t>(9000 + i))));
        }
        dots({steps, a.data(), a_stride, rows, b.data(), b_stride, columns, c.data(), columns});
        const auto element = [&](index_t j, index_t p) {
          return static_cast<double>(static_cast<T>(b[j * b_stride + p]));
        };
        largest = std::max(largest, dots_error(rows, columns, steps, a, a_stride, element, c));
      }
    }
  }
  return largest;
}

/// Returns the largest error for rows of codes, which may begin anywhere in a block.
double code_dots_error(const cpu::Kernels& kernels) {
  double largest = 0.0;
  std::vector<float> values(16), scales(64);
  for (std::size_t i = 0; i < 16; ++i) values[i] = static_cast<float>(normal_value(i));
  for (std::size_t i = 0; i < 64; ++i) scales[i] = static_cast<float>(normal_value(100 + i));
  for (index_t rows = 1; rows <= 9; ++rows) {
    for (const index_t steps : {0, 32, 64, 96, 160, 256}) {
      for (const int shift : {5, 6, 7, 12}) {
        for (const index_t first : {0, 32, 64, 96}) {
          constexpr index_t columns = 3;
          const index_t stride = steps + 32 * (rows % 2);
          Run<float> a(rows * steps, 0), arranged(rows * steps, 1), c(columns * rows, 0);
          Run<std::uint8_t> codes((first + columns * stride + steps) / 2, rows);
          for (index_t i = 0; i < rows * steps; ++i) {
            a[i] = static_cast<float>(normal_value(static_cast<std::uint64_t>(i)));
          }
          for (index_t i = 0; i < (first + columns * stride + steps) / 2; ++i) {
            codes[i] = static_cast<std::uint8_t>(i * 37 + rows);
          }
          kernels.arrange(a.data(), rows * steps, arranged.data());
          kernels.dots_codes({steps, arranged.data(), rows, codes.data(), values.data(), scales.data(), shift, first,
                              stride, columns, c.data(), columns});
          const auto element = [&](index_t j, index_t p) {
            const index_t e = first + j * stride + p;
            const auto code = static_cast<std::size_t>(e % 2 == 0 ? codes[e / 2] >> 4 : codes[e / 2] & 15);
            return static_cast<double>(values[code]) *
                   static_cast<double>(scales[static_cast<std::size_t>(e >> shift)]);
          };
          largest = std::max(largest, dots_error(rows, columns, steps, a, steps, element, c));
        }
      }
    }
  }
  return largest;
}

}  // namespace

TEST_CASE("dots are dot products of rows, as they are stored") {
  testing::with_each_set([&](const cpu::Kernels& kernels) {
    CAPTURE(kernels.name);
    CHECK(dots_error(kernels.dots) <= 1.0);
    CHECK(dots_error(kernels.dots64) <= 1.0);
    CHECK(dots_error(kernels.dots_bfloat16) <= 1.0);
    if (kernels.dots_codes != nullptr) CHECK(code_dots_error(kernels) <= 1.0);
  });
}

TEST_CASE("a dot product has the same bits whatever other rows there are") {
  constexpr index_t rows = 7, steps = 67;
  Run<float> a(rows * steps, 0), all(rows, 0), one(1, 0);
  Run<bfloat16> b(steps, 0);
  for (index_t i = 0; i < rows * steps; ++i) a[i] = static_cast<float>(normal_value(static_cast<std::uint64_t>(i)));
  for (index_t i = 0; i < steps; ++i) b[i] = bfloat16(a[i]);
  testing::with_each_set([&](const cpu::Kernels& kernels) {
    CAPTURE(kernels.name);
    kernels.dots_bfloat16({steps, a.data(), steps, rows, b.data(), steps, 1, all.data(), 1});
    for (index_t i = 0; i < rows; ++i) {
      kernels.dots_bfloat16({steps, a.data() + i * steps, steps, 1, b.data(), steps, 1, one.data(), 1});
      CHECK(one[0] == all[i]);
    }
  });
}

}  // namespace kernels_test
