// SPDX-License-Identifier: Apache-2.0
/// \file products.hpp
/// Matmuls of operands of any storage type, with a reference by three loops in double, and a bound on the error.
///
///   |C - reference| <= (k + 2) u sum |terms| + u_C |reference|
/// u is the unit roundoff of the sums and u_C that of the storage type of C. The k + 2 roundings are those of the
/// products and their sum, of the scale and of beta C.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "veneer/backend/cpu/matmul.hpp"
#include "veneer/core/random.hpp"
#include "veneer/quant/nf4_kernels.hpp"

namespace veneer::testing {

inline const char* name_of(Storage storage) {
  constexpr const char* names[] = {"float32", "float64", "bfloat16", "float16", "coded"};
  return names[static_cast<std::size_t>(storage)];
}

/// Calls f with a zero of the type that `storage` names.
template <class F>
decltype(auto) with_type(Storage storage, const F& f) {
  switch (storage) {
    case Storage::float64: return f(double{});
    case Storage::bfloat16: return f(bfloat16{});
    case Storage::float16: return f(half{});
    default: return f(float{});
  }
}

template <Stored T>
double widened(T value) {
  return static_cast<double>(static_cast<compute_t<T>>(value));
}

/// Returns the value rounded to `storage`.
inline double rounded_to(Storage storage, double value) {
  return with_type(storage, [&]<class T>(T) { return widened(static_cast<T>(static_cast<compute_t<T>>(value))); });
}

/// Returns a value of a fixed list of normal ones.
inline double normal_value(std::uint64_t i) {
  static const std::vector<double> values = [] {
    std::vector<double> list(65521);
    for (std::size_t j = 0; j < list.size(); ++j) list[j] = normal_at({11, 1}, j);
    return list;
  }();
  return values[i % values.size()];
}

/// A matrix of normal values. Its rows are `gap` elements longer than needed; the gaps, and as many elements before the
/// first row, contain NaN.
class StoredMatrix {
 public:
  StoredMatrix() = default;
  StoredMatrix(Storage storage, index_t rows, index_t columns, index_t gap, std::uint64_t seed)
      : storage_(storage), rows_(rows), columns_(columns), stride_(columns + (storage == Storage::coded ? 0 : gap)) {
    values_.resize(static_cast<std::size_t>(rows * columns));
    storage == Storage::coded ? encode(seed) : fill(stride_ - columns, seed);
  }

  index_t rows() const { return rows_; }
  index_t columns() const { return columns_; }
  index_t stride() const { return stride_; }
  Storage storage() const { return storage_; }
  void* data() { return bytes_.data() + lead_; }

  Operand read(bool transposed) const {
    if (storage_ == Storage::coded) {
      view_.codes = bytes_.data(), view_.scale.plain = scales_.data();  // the addresses in a copy
      return {&view_, stride_, transposed, storage_, &ops::nf4_decoder()};
    }
    return {bytes_.data() + lead_, stride_, transposed, storage_, nullptr};
  }

  double at(index_t row, index_t column) const { return values_[static_cast<std::size_t>(row * columns_ + column)]; }
  void set(index_t row, index_t column, double value) {
    values_[static_cast<std::size_t>(row * columns_ + column)] = rounded_to(storage_, value);
    with_type(storage_,
              [&]<class T>(T) { put(row * stride_ + column, static_cast<T>(static_cast<compute_t<T>>(value))); });
  }
  /// Reads the values again, after a matmul has written them.
  void refresh() {
    with_type(storage_, [&]<class T>(T) {
      for (index_t i = 0; i < rows_ * columns_; ++i) {
        T value;
        std::memcpy(&value, bytes_.data() + lead_ + address<T>(i / columns_ * stride_ + i % columns_), sizeof value);
        values_[static_cast<std::size_t>(i)] = widened(value);
      }
    });
  }

  /// Returns whether all bytes outside the rows equal those of `other`.
  bool same_gaps(const StoredMatrix& other) const {
    StoredMatrix mine = *this, theirs = other;
    for (StoredMatrix* x : {&mine, &theirs}) {
      for (index_t i = 0; i < rows_ * columns_; ++i) x->set(i / columns_, i % columns_, 0.0);
    }
    return mine.bytes_ == theirs.bytes_;
  }
  bool same_bits(const StoredMatrix& other) const { return bytes_ == other.bytes_; }

 private:
  template <class T>
  static std::size_t address(index_t i) {
    return static_cast<std::size_t>(i) * sizeof(T);
  }
  template <class T>
  void put(index_t i, T value) {
    std::memcpy(bytes_.data() + lead_ + address<T>(i), &value, sizeof value);
  }

  void fill(index_t gap, std::uint64_t seed) {
    with_type(storage_, [&]<class T>(T) {
      lead_ = address<T>(gap);
      const index_t count = rows_ == 0 ? 0 : (rows_ - 1) * stride_ + columns_;
      bytes_.resize(lead_ + address<T>(count));
      const T hole = static_cast<T>(std::numeric_limits<compute_t<T>>::quiet_NaN());
      for (index_t i = -gap; i < count; ++i) {
        std::memcpy(bytes_.data() + lead_ + i * static_cast<index_t>(sizeof(T)), &hole, sizeof hole);
      }
    });
    for (index_t i = 0; i < rows_ * columns_; ++i) {
      set(i / columns_, i % columns_, normal_value(seed * 7919 + static_cast<std::uint64_t>(i)));
    }
  }

  void encode(std::uint64_t seed) {
    const index_t count = rows_ * columns_;
    bytes_.resize(static_cast<std::size_t>((count + 1) / 2));
    scales_.resize(static_cast<std::size_t>(count / 32 + 1));
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      bytes_[i] = static_cast<std::uint8_t>(Philox::at({12, seed}, i).word[0] & 255u);
    }
    for (std::size_t i = 0; i < scales_.size(); ++i) {
      scales_[i] = static_cast<float>(1.0 + std::abs(normal_value(seed * 31 + i)));
    }
    view_.codes = bytes_.data(), view_.scale = {scales_.data(), nullptr, nullptr, nullptr, 1, 0, 0.0f}, view_.shift = 5;
    std::copy(nf4_values.begin(), nf4_values.end(), view_.values);
    for (index_t i = 0; i < count; ++i) values_[static_cast<std::size_t>(i)] = static_cast<double>(view_(i));
  }

  Storage storage_ = Storage::float32;
  index_t rows_ = 0, columns_ = 0, stride_ = 0;
  std::size_t lead_ = 0;
  std::vector<double> values_;
  std::vector<std::uint8_t> bytes_;
  std::vector<float> scales_;
  mutable ops::PackedView view_{};
};

/// The storage types of a problem.
struct Mix {
  Storage arithmetic, a, b, c;
};

/// All combinations of storage types that the library uses, and some others.
inline constexpr Mix mixes[] = {{Storage::float32, Storage::float32, Storage::float32, Storage::float32},
                                {Storage::float64, Storage::float64, Storage::float64, Storage::float64},
                                {Storage::bfloat16, Storage::bfloat16, Storage::bfloat16, Storage::bfloat16},
                                {Storage::float32, Storage::float32, Storage::bfloat16, Storage::float32},
                                {Storage::float32, Storage::float32, Storage::float16, Storage::float32},
                                {Storage::float32, Storage::float32, Storage::coded, Storage::float32},
                                {Storage::bfloat16, Storage::bfloat16, Storage::float32, Storage::bfloat16},
                                {Storage::bfloat16, Storage::bfloat16, Storage::coded, Storage::bfloat16},
                                {Storage::bfloat16, Storage::float32, Storage::bfloat16, Storage::float32},
                                {Storage::float32, Storage::float16, Storage::float16, Storage::float16},
                                {Storage::bfloat16, Storage::float64, Storage::float16, Storage::float64},
                                {Storage::float64, Storage::bfloat16, Storage::coded, Storage::float64},
                                {Storage::float32, Storage::bfloat16, Storage::float32, Storage::float32}};

inline std::string text_of(const Mix& mix) {
  return std::string(name_of(mix.a)) + " x " + name_of(mix.b) + " -> " + name_of(mix.c) + " in " +
         name_of(mix.arithmetic);
}

/// The extents of a matmul and of its rows.
struct Form {
  bool transpose_a = false, transpose_b = false;
  index_t m = 0, n = 0, k = 0;
  double scale = 1.0, beta = 0.0;
  index_t gap = 0;
};

/// C = beta C + sum of terms scale op(A) op(B), with its matrices.
class SumOfProducts {
 public:
  SumOfProducts(const Mix& mix, const Form& form)
      : mix_(mix), m_(form.m), n_(form.n), gap_(form.gap), beta_(form.beta), c(mix.c, form.m, form.n, form.gap, 3) {
    add(form.transpose_a, form.transpose_b, form.k, form.scale);
    if (beta_ == 0.0) {  // C is not read then
      for (index_t i = 0; i < m_ * n_; ++i) c.set(i / n_, i % n_, std::numeric_limits<double>::quiet_NaN());
    }
  }

  /// Adds a term.
  void add(bool transpose_a, bool transpose_b, index_t k, double scale) {
    const std::uint64_t seed = 10 * terms_.size() + 1;
    terms_.push_back({StoredMatrix(mix_.a, transpose_a ? k : m_, transpose_a ? m_ : k, gap_, seed),
                      StoredMatrix(mix_.b, transpose_b ? n_ : k, transpose_b ? k : n_, gap_, seed + 1), transpose_a,
                      transpose_b, k, scale});
  }

  StoredMatrix& a(std::size_t term = 0) { return terms_[term].a; }
  StoredMatrix& b(std::size_t term = 0) { return terms_[term].b; }

  /// Returns the matmul that writes to `out`, a copy of c.
  Matmul into(StoredMatrix& out) const {
    Matmul p{.arithmetic = mix_.arithmetic, .m = m_, .n = n_, .count = 0};
    for (const Part& t : terms_) {
      p.terms[p.count++] = {t.a.read(t.transpose_a), t.b.read(t.transpose_b), t.k, t.scale};
    }
    p.beta = beta_, p.c = out.data(), p.ldc = out.stride(), p.stored = mix_.c;
    return p;
  }

  /// Values and sums of magnitudes, row by row.
  struct Reference {
    std::vector<double> value, magnitude;
  };

  /// Returns the reference by three loops in double, with operands rounded to `arithmetic` first. Computed once.
  const Reference& reference(Storage arithmetic) const {
    Reference& r = references_[static_cast<std::size_t>(arithmetic)];
    if (!r.value.empty()) return r;
    r.value.resize(static_cast<std::size_t>(m_ * n_));
    r.magnitude = r.value;
    if (beta_ != 0.0) {
      for (index_t i = 0; i < m_ * n_; ++i) {
        const auto at = static_cast<std::size_t>(i);
        r.value[at] = beta_ * c.at(i / n_, i % n_), r.magnitude[at] = std::abs(r.value[at]);
      }
    }
    for (const Part& t : terms_) {
      if (t.scale != 0.0) accumulate(t, arithmetic, r);
    }
    return r;
  }

  /// Returns the largest error of `found`, a written C, as a fraction of the bound. Infinity if it contains a NaN.
  double error(const StoredMatrix& found, const Reference& r, Storage arithmetic) const {
    const double u = arithmetic == Storage::float64 ? 0x1p-53 : 0x1p-24;
    index_t steps = mix_.c == Storage::float64 && arithmetic != Storage::float64 ? 3 : 2;  // C is also rounded to float
    for (const Part& t : terms_) steps += t.scale == 0.0 ? 0 : t.k;
    // The reference has the same rounding as the sums if these are double.
    const double roundings = static_cast<double>(steps) * (arithmetic == Storage::float64 ? 2.0 : 1.0) * u;
    double largest = 0.0;
    for (index_t i = 0; i < m_; ++i) {
      for (index_t j = 0; j < n_; ++j) {
        const auto at = static_cast<std::size_t>(i * n_ + j);
        const double sums = roundings / (1.0 - roundings) * r.magnitude[at];
        const double bound = sums + stored_error(std::abs(r.value[at]) + sums);
        const double difference = std::abs(found.at(i, j) - r.value[at]);
        if (difference == 0.0) continue;
        largest =
            std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(largest, difference / bound);
      }
    }
    return largest;
  }

 private:
  struct Part {
    StoredMatrix a, b;
    bool transpose_a, transpose_b;
    index_t k;
    double scale;
  };

  /// Returns the error of one rounding of `value` to the type of C. Sums of float are exact in a float or a double.
  double stored_error(double value) const {
    if (mix_.c == Storage::bfloat16) return 0x1p-8 * value;
    if (mix_.c == Storage::float16) return std::max(0x1p-11 * value, 0x1p-25);
    return mix_.c == Storage::float32 && mix_.arithmetic == Storage::float64 ? 0x1p-24 * value : 0.0;
  }

  void accumulate(const Part& t, Storage arithmetic, Reference& r) const {
    std::vector<double> row(static_cast<std::size_t>(n_));
    for (index_t p = 0; p < t.k; ++p) {
      for (index_t j = 0; j < n_; ++j) {
        row[static_cast<std::size_t>(j)] = rounded_to(arithmetic, t.transpose_b ? t.b.at(j, p) : t.b.at(p, j));
      }
      for (index_t i = 0; i < m_; ++i) {
        const double left = t.scale * rounded_to(arithmetic, t.transpose_a ? t.a.at(p, i) : t.a.at(i, p));
        double* value = r.value.data() + i * n_;
        double* magnitude = r.magnitude.data() + i * n_;
        for (std::size_t j = 0; j < row.size(); ++j) {
          const double product = left * row[j];
          value[j] += product, magnitude[j] += std::abs(product);
        }
      }
    }
  }

  Mix mix_;
  index_t m_, n_, gap_;
  double beta_;
  std::vector<Part> terms_;
  mutable std::array<Reference, 5> references_;

 public:
  StoredMatrix c;
};

/// Returns the type in which the kernels multiply: bfloat16 only if they have such a kernel, and with more than
/// a few rows.
inline Storage multiplied_in(const cpu::Kernels& kernels, const Matmul& p) {
  if (p.arithmetic != Storage::bfloat16) return p.arithmetic;
  const cpu::Panel<bfloat16>& pairs = kernels.bfloat16_pairs;
  const bool few = cpu::FewRows<float>::suits(p, pairs.few);
  return pairs.run != nullptr && !few ? Storage::bfloat16 : Storage::float32;
}

}  // namespace veneer::testing
