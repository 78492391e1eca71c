// SPDX-License-Identifier: Apache-2.0
/// \file tape.hpp
/// The three kinds of value, and the tape that records how variables were computed.
///
///   Tensor      a constant                      no gradient exists
///   Parameter   a trainable leaf                its gradient accumulates in it, across tapes
///   Variable    a value recorded on a Tape      made by tape.input(x), or by an op with a Variable among its operands
///
/// A tape is a local variable of its user for one step. backward(loss) replays it in reverse and frees each entry. It
/// does not depend on any op. Ops on which no parameter depends are not recorded: tape.input(x) requires no gradient. A
/// Variable may outlive its tape: its value and its gradient remain, and computing with it, or calling backward, throws
/// an ArgumentError. Reverse mode: Griewank and Walther, "Evaluating Derivatives", 2nd edition, section 3.2.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/random.hpp"
#include "veneer/tensor/factory.hpp"
#include "veneer/tensor/tensor.hpp"

namespace veneer {

namespace ops {
template <Stored T>
struct AccumulateBody {
  T* sum;
  const T* x;
  VENEER_HD void operator()(index_t i) const { sum[i] = static_cast<T>(sum[i] + x[i]); }
};
}  // namespace ops

/// The element type of a gradient: the storage type of the value. Integers have no gradient.
template <Scalar T>
using gradient_t = std::conditional_t<Stored<T>, T, float>;

/// An accumulated gradient. Shared by all handles to one value, whatever their static extents.
template <Stored T, int Rank, Backend B>
struct GradientSlot {
  using scalar = T;
  Tensor<T, dynamic_shape<Rank>, B> gradient;
  std::uint64_t version = 0;  // of a parameter: the number of mutable accesses to its values

  /// Adds to the sum. The first contribution is stored without a copy; a sum is computed in place only if there is
  /// no other handle.
  void add(Tensor<T, dynamic_shape<Rank>, B> contribution) {
    if (!gradient) {
      gradient = std::move(contribution);
      return;
    }
    if (!gradient.unique()) gradient = copy(gradient);
    gradient.device().for_each(gradient.count(), ops::AccumulateBody<T>{gradient.data(), contribution.data()});
  }
};

/// The history of one step: closures to replay, and the number of random streams drawn.
class Tape {
 public:
  /// \param randomness identifies the random numbers of this step; ops draw streams from it in the order of recording
  explicit Tape(RandomStream randomness = {}) : randomness_(randomness) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  ~Tape() {
    if (handle_) *handle_ = nullptr;
  }

  /// Returns the address of this tape; null after it is destroyed.
  const std::shared_ptr<Tape*>& handle() const { return handle_; }

  /// Returns a tape that makes values variables, so that ops behave as in training, but records nothing.
  static Tape forgetful(RandomStream randomness, std::uint64_t drawn) {
    Tape tape(randomness);
    tape.drawn_ = drawn;
    tape.recording_ = false;
    return tape;
  }

  /// Returns a recording tape that draws the same random streams as one that has already drawn `drawn`.
  static Tape replaying(RandomStream randomness, std::uint64_t drawn) {
    Tape tape(randomness);
    tape.drawn_ = drawn;
    return tape;
  }

  /// Returns a variable on this tape that requires no gradient: the dx of a first layer is never computed.
  template <TensorLike X>
  auto input(const X& x);

  /// Returns a variable that requires a gradient, for checks and for the inner tapes of checkpoints.
  template <TensorLike X>
  auto variable(const X& x);

  /// Returns a stream of random numbers that is not used elsewhere on this tape.
  RandomStream draw() {
    // The high bits of the counter are the step, the low bits the draw.
    return {randomness_.seed, (randomness_.stream << 20) + drawn_++};
  }

  RandomStream randomness() const { return randomness_; }
  std::uint64_t drawn() const { return drawn_; }
  void skip_to(std::uint64_t drawn) { drawn_ = drawn; }
  bool recording() const { return recording_; }
  std::size_t size() const { return entries_.size(); }

  /// Whether a recorded op has a parameter as an operand.
  bool uses_parameters() const { return uses_parameters_; }
  void note_parameters() { uses_parameters_ = true; }

  /// Records a pullback. For ops; see apply.
  template <class F>
  void record(F pullback) {
    if (recording_) entries_.push_back(std::make_unique<EntryOf<F>>(std::move(pullback)));
  }

  /// Replays all pullbacks in reverse order, and frees each after use.
  void replay() {
    while (!entries_.empty()) {
      const std::unique_ptr<Entry> last = std::move(entries_.back());
      entries_.pop_back();
      last->replay();
    }
  }

 private:
  /// A type-erased pullback. It is never copied, unlike a std::function.
  struct Entry {
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    virtual ~Entry() = default;
    virtual void replay() = 0;
  };
  template <class F>
  struct EntryOf final : Entry {
    F pullback;
    explicit EntryOf(F f) : pullback(std::move(f)) {}
    void replay() override { pullback(); }
  };

  Tape(Tape&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)),
        entries_(std::move(other.entries_)),
        randomness_(other.randomness_),
        drawn_(other.drawn_),
        recording_(other.recording_),
        uses_parameters_(other.uses_parameters_) {
    *handle_ = this;
  }

  std::shared_ptr<Tape*> handle_ = std::make_shared<Tape*>(this);
  std::vector<std::unique_ptr<Entry>> entries_;
  RandomStream randomness_;
  std::uint64_t drawn_ = 0;
  bool recording_ = true;
  bool uses_parameters_ = false;
};

/// A value recorded on a tape.
template <Scalar T, ShapeLike S, Backend B>
class Variable {
 public:
  using scalar = T;
  using shape_type = S;
  using backend = B;
  using value_type = Tensor<T, S, B>;
  using slot_type = GradientSlot<gradient_t<T>, S::rank, B>;

  Variable(value_type value, Tape& tape, bool wanted)
      : value_(std::move(value)), tape_(tape.handle()), slot_(wanted ? std::make_shared<slot_type>() : nullptr) {}
  Variable(value_type value, Tape& tape, std::shared_ptr<slot_type> slot)
      : value_(std::move(value)), tape_(tape.handle()), slot_(std::move(slot)) {}

  /// Converts to a type with more or fewer static extents.
  template <ShapeLike Other>
    requires(std::is_constructible_v<value_type, const Tensor<T, Other, B>&> && !std::is_same_v<S, Other>)
  explicit(!std::is_convertible_v<Other, S>) Variable(const Variable<T, Other, B>& other)
      : value_(other.value()), tape_(other.tape().handle()), slot_(other.slot()) {}

  const value_type& value() const { return value_; }
  const S& shape() const { return value_.shape(); }
  index_t extent(int axis) const { return value_.extent(axis); }
  const B& device() const { return value_.device(); }
  /// Returns the tape.
  /// \throws ArgumentError when it was destroyed
  Tape& tape() const {
    expects(
        *tape_ != nullptr,
        "veneer::Variable: the tape that it was recorded on was destroyed; a step's values are used before its tape "
        "goes out of scope");
    return **tape_;
  }

  /// Returns whether a gradient with respect to this value is required.
  bool wanted() const { return slot_ != nullptr; }
  const std::shared_ptr<slot_type>& slot() const { return slot_; }

  /// Returns the gradient computed by backward(); shape-only before that, or if none is required.
  Tensor<typename slot_type::scalar, dynamic_shape<S::rank>, B> gradient() const {
    return slot_ ? slot_->gradient : decltype(slot_->gradient){};
  }

 private:
  value_type value_;
  std::shared_ptr<Tape*> tape_;
  std::shared_ptr<slot_type> slot_;
};

template <TensorLike X>
auto Tape::input(const X& x) {
  return Variable<typename X::scalar, typename X::shape_type, typename X::backend>(x, *this, false);
}

template <TensorLike X>
auto Tape::variable(const X& x) {
  static_assert(Stored<typename X::scalar>, "veneer::Tape::variable(x): a gradient needs real values");
  return Variable<typename X::scalar, typename X::shape_type, typename X::backend>(x, *this, true);
}

/// A trainable leaf: a value that an optimizer changes, and its accumulated gradient. A copy is a handle to both.
template <Real T, ShapeLike S, Backend B>
class Parameter {
 public:
  using scalar = T;
  using shape_type = S;
  using backend = B;
  using value_type = Tensor<T, S, B>;
  using slot_type = GradientSlot<T, S::rank, B>;

  Parameter() = default;
  explicit Parameter(value_type value) : value_(std::move(value)), slot_(std::make_shared<slot_type>()) {}

  const value_type& value() const { return value_; }
  /// Mutable access. Increments the version, which invalidates caches derived from the old values.
  value_type& value() {
    if (slot_) ++slot_->version;
    return value_;
  }
  const S& shape() const { return value_.shape(); }
  index_t extent(int axis) const { return value_.extent(axis); }
  index_t count() const { return value_.count(); }
  const B& device() const { return value_.device(); }
  explicit operator bool() const { return static_cast<bool>(value_); }

  const std::shared_ptr<slot_type>& slot() const { return slot_; }
  const Tensor<T, dynamic_shape<S::rank>, B>& gradient() const { return slot_->gradient; }
  void clear_gradient() { slot_->gradient = {}; }

 private:
  value_type value_;
  std::shared_ptr<slot_type> slot_;
};

/// Returns the parameter as a variable of this tape, for an op that has no other operand on it.
template <Real T, ShapeLike S, Backend B>
Variable<T, S, B> on_tape(const Parameter<T, S, B>& parameter, Tape& tape) {
  tape.note_parameters();
  return Variable<T, S, B>(parameter.value(), tape, parameter.slot());
}

template <class X>
concept VariableLike = is_specialization_of<Variable, std::remove_cvref_t<X>>;
template <class X>
concept ParameterLike = is_specialization_of<Parameter, std::remove_cvref_t<X>>;

/// A matrix or vector of any kind: constant, trainable, or recorded.
template <class X>
concept ValueLike = TensorLike<X> || VariableLike<X> || ParameterLike<X>;

/// Returns the tensor of a value, and any other argument unchanged.
template <class X>
const auto& value_of(const X& x) {
  if constexpr (VariableLike<X> || ParameterLike<X>) {
    return x.value();
  } else {
    return x;
  }
}

/// Computes the gradients of all parameters and variables that `loss` depends on, then clears the history.
/// \param loss  one value, recorded on a tape
/// \param scale the initial derivative: 1, or the weight of this loss in a sum
/// \throws ShapeError when the loss holds more than one value; ArgumentError when its tape was destroyed
template <Real T, ShapeLike S, Backend B>
void backward(const Variable<T, S, B>& loss, std::type_identity_t<T> scale = T(1)) {
  if (loss.value().count() != 1) {
    throw ShapeError("veneer::backward(loss): loss must hold one value, its shape is " + to_string(loss.shape()));
  }
  if (!loss.wanted()) return;  // it depends on no trainable value
  loss.slot()->add(full<T>(dynamic_shape<S::rank>(loss.shape()), scale, loss.device()));
  loss.tape().replay();
}

/// Deleted: a constant, a parameter, or integers have no history.
template <ValueLike X>
  requires(!VariableLike<X> || !Real<typename X::scalar>)
void backward(const X&, double = 1.0) {
  static_assert(
      VariableLike<X> && Real<typename X::scalar>,
      "veneer::backward(loss): loss must be a Variable of real values, recorded on a tape; make it from tape.input(x)");
}

}  // namespace veneer
