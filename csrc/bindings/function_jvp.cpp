// Forward mode through a Function: its jvp, level by level.
#include <algorithm>

#include "bindings/convert.h"
#include "bindings/function_apply.h"
#include "bindings/function_call.h"
#include "bindings/function_intermediates.h"
#include "bindings/in_place.h"
#include "engine/batch.h"

namespace wengert::bindings {
namespace {

// Makes tensors stand for other values for as long as this lives.
class Standing {
 public:
  void replace(PyObject* tensor, const Value& value) {
    before_.emplace_back(py::reinterpret_borrow<py::object>(tensor), value_of(tensor));
    rebind(tensor, value);
  }
  Standing() = default;
  ~Standing() {
    for (auto at = before_.rbegin(); at != before_.rend(); ++at)
      rebind(at->first.ptr(), at->second);
  }
  Standing(const Standing&) = delete;
  Standing& operator=(const Standing&) = delete;

 private:
  std::vector<std::pair<py::object, Value>> before_;
};

// Without tangents of this level and those outside it.
Value stripped(Value value, int level) {
  while (level_of(value.get()) >= level && level_of(value.get()) > 0) {
    const Value dual = value;
    value = primal_at(dual.get(), level_of(dual.get()));
  }
  return value;
}

Value tangent_of(const Value& value, int level) {
  const Value up_to = stripped(value, level + 1);
  return tangent_at(up_to.get(), level);
}

// Note [Tangents of a Function]: forward runs once, on values without any tangent, and jvp once a
// level, innermost first. At each level the tensors that forward was given and has returned stand
// for their values with the tangents of the levels before: so what jvp computes from them, wherever
// it has kept them, is differentiated along those as well.
class TangentCall {
 public:
  TangentCall(const Invocation& call, int level) : call_(call) {
    for (; level > 0; --level) {
      if (has_tangents(level)) levels_.insert(levels_.begin(), level);
    }
    jvp_ = own_method(call.function, Method::kJvp);
    if (!jvp_) {
      throw NotImplementedError(
          py::handle(call.function).attr("__name__").cast<std::string>() +
          ": has no forward-mode derivative: You must implement the jvp function for custom "
          "autograd.Function to use it with forward mode AD, or write it with operations on "
          "tensors");
    }
  }

  py::object run() {
    refuse_batches();
    copy_arguments();
    Invocation plain = call_;
    plain.args = plain_pointers_.data();
    const Applied applied = apply_plain(plain, levels_.size() > 1);
    context_ = applied.context;
    several_ = PyTuple_Check(applied.returned.ptr());
    outputs_ = several_ ? py::reinterpret_borrow<py::tuple>(applied.returned)
                        : py::make_tuple(applied.returned);
    for (const auto& output : outputs_)
      results_.push_back(is_tensor(output.ptr()) ? value_of(output.ptr()) : Value());
    for (const int level : levels_) differentiate(level);
    return finish();
  }

 private:
  bool has_tangents(int level) const {
    for (std::size_t i = 0; i < call_.count; ++i) {
      if (is_tensor(call_.arg(i)) && tangent_of(value_of(call_.arg(i)), level)) return true;
    }
    return false;
  }

  // What is written in Python sees one item of a batch at a time.
  void refuse_batches() const {
    for (std::size_t i = 0; i < call_.count; ++i) {
      if (!is_tensor(call_.arg(i))) continue;
      const Value value = value_of(call_.arg(i));
      std::vector<Value> parts{stripped(value, 1)};
      for (const int level : levels_) parts.push_back(tangent_of(value, level));
      if (any_batched(parts)) throw CannotBatch("a Function takes tangents one by one");
    }
  }

  // Tensors of their own, which nobody else sees when they stand for other values.
  void copy_arguments() {
    const std::size_t named =
        call_.keywords ? static_cast<std::size_t>(PyTuple_GET_SIZE(call_.keywords)) : 0;
    for (std::size_t i = 0; i < call_.count + named; ++i) {
      PyObject* argument = call_.args[i];
      const bool dual = i < call_.count && is_tensor(argument);
      plain_.push_back(
          dual ? py::reinterpret_steal<py::object>(wrap_new(stripped(value_of(argument), 1)))
               : py::reinterpret_borrow<py::object>(argument));
      plain_pointers_.push_back(plain_.back().ptr());
    }
  }

  std::vector<py::object> tangents(int level) const {
    std::vector<py::object> arguments{context_};
    for (std::size_t i = 0; i < call_.count; ++i) {
      if (!is_tensor(call_.arg(i))) {
        arguments.push_back(py::none());
        continue;
      }
      const Value value = value_of(call_.arg(i));
      Value tangent = tangent_of(value, level);
      if (!tangent && context_of(context_.ptr())->materialize && is_floating(value.dtype()))
        tangent = zeros_like(stripped(value, 1));
      arguments.push_back(py::reinterpret_steal<py::object>(wrap_or_none(tangent)));
    }
    return arguments;
  }

  void refuse_intermediates(int level) const {
    const ContextObject& context = *context_of(context_.ptr());
    if (level == levels_.front() || context.call.intermediates.empty()) return;
    const auto kept = kept_intermediates(context);
    if (kept.empty()) return;
    throw std::runtime_error(name_of_function(&context) +
                             ": cannot differentiate jvp along the tangents of " +
                             describe_intermediate(context, value_of(kept[0].ptr())) +
                             ": it has none. Compute it in jvp from inputs given to "
                             "save_for_forward, or return it as an "
                             "output too");
  }

  void differentiate(int level) {
    refuse_intermediates(level);
    Standing standing;
    std::vector<Value> inputs;
    for (std::size_t i = 0; i < call_.count; ++i) {
      if (!is_tensor(call_.arg(i))) continue;
      inputs.push_back(value_of(plain_[i].ptr()));
      if (level != levels_.front())
        standing.replace(plain_[i].ptr(), stripped(value_of(call_.arg(i)), level));
    }
    for (std::size_t i = 0; i < results_.size(); ++i) {
      if (results_[i] && level_of(results_[i].get()))
        standing.replace(outputs_[i].ptr(), results_[i]);
    }
    ContextObject& context = *context_of(context_.ptr());
    const OutputsLent lent(context_.ptr(), outputs_.ptr());
    const Refusing intermediates(context, inputs, jvp_.ptr());
    const InJvp in_jvp(context);
    add_tangents(call_with(jvp_.ptr(), tangents(level)), level);
  }

  struct InJvp {
    ContextObject& context;
    explicit InJvp(ContextObject& c) : context(c) { context.in_jvp = true; }
    ~InJvp() { context.in_jvp = false; }
    InJvp(const InJvp&) = delete;
    InJvp& operator=(const InJvp&) = delete;
  };

  std::string name() const { return name_of_function(context_of(context_.ptr())); }

  Value checked_tangent(PyObject* object, const Value& output, std::size_t i) const {
    if (object == Py_None) return Value();
    if (!is_tensor(object)) {
      throw TypeError(name() + ".jvp: expected a Tensor or None as tangent " + std::to_string(i) +
                      ", got a '" + Py_TYPE(object)->tp_name + "'");
    }
    const Value tangent = value_of(object);
    if (!output || !is_floating(output.dtype())) {
      throw std::runtime_error(name() + ".jvp returned a tangent for output " + std::to_string(i) +
                               ", which can have none; return None there");
    }
    if (!(tangent.shape() == output.shape())) {
      throw std::runtime_error(name() + ".jvp returned an invalid tangent at index " +
                               std::to_string(i) + " - got " + tangent.shape().to_string() +
                               " but expected the output's shape " + output.shape().to_string());
    }
    return cast(tangent, output.dtype());
  }

  void add_tangents(const py::object& returned, int level) {
    const bool sequence = PyTuple_Check(returned.ptr()) || PyList_Check(returned.ptr());
    const py::tuple found = sequence ? py::tuple(returned) : py::make_tuple(returned);
    if (found.size() != results_.size()) {
      throw std::runtime_error(name() + ".jvp returned " + std::to_string(found.size()) +
                               (found.size() == 1 ? " tangent" : " tangents") +
                               ", forward returned " + std::to_string(results_.size()) +
                               (results_.size() == 1 ? " output" : " outputs") +
                               "; return None for an output without tangent");
    }
    std::vector<Value> next = results_;
    for (std::size_t i = 0; i < next.size(); ++i) {
      const Value tangent = checked_tangent(py::object(found[i]).ptr(), next[i], i);
      PyObject* constants = context_of(context_.ptr())->constants;
      if (tangent && !is_among(outputs_[i].ptr(), constants))
        next[i] = make_dual(next[i], tangent, level);
    }
    results_ = std::move(next);
  }

  py::object finish() {
    py::tuple returned(results_.size());
    for (std::size_t i = 0; i < results_.size(); ++i) {
      if (PyObject* original = dirty_argument(outputs_[i].ptr())) {
        check_recorded_write(original, name().c_str());
        take_place_of(original, results_[i]);
        returned[i] = py::reinterpret_borrow<py::object>(original);
      } else if (results_[i] && level_of(results_[i].get())) {
        returned[i] = py::reinterpret_steal<py::object>(wrap(results_[i]));
      } else {
        returned[i] = outputs_[i];
      }
    }
    return several_ ? py::object(returned) : py::object(returned[0]);
  }

  PyObject* dirty_argument(PyObject* output) const {
    if (!is_among(output, context_of(context_.ptr())->dirty)) return nullptr;
    const auto found = std::find(plain_pointers_.begin(), plain_pointers_.end(), output);
    return found == plain_pointers_.end() ? nullptr : call_.args[found - plain_pointers_.begin()];
  }

  const Invocation& call_;
  std::vector<int> levels_;  // that have tangents, innermost first
  py::object jvp_;
  std::vector<py::object> plain_;
  std::vector<PyObject*> plain_pointers_;
  py::object context_;
  py::tuple outputs_;
  bool several_ = false;
  std::vector<Value> results_;  // of outputs_, with the tangents so far; null for what is no tensor
};

}  // namespace

py::object apply_with_tangents(const Invocation& call, int level) {
  return TangentCall(call, level).run();
}

}  // namespace wengert::bindings
