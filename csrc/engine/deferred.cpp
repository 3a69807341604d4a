#include "engine/deferred.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <new>

#include "engine/accumulate.h"
#include "engine/apply.h"
#include "engine/array_program.h"
#include "engine/evaluate.h"
#include "kernels/parallel.h"

namespace wengert {
namespace {

constexpr std::size_t kMostSteps = 64;

struct Waiting {
  ArrayProgram program;
  std::vector<ArrayNode*> results;  // that somebody needs; references
  bool is_cheap = true;             // every step is, and none was computed before
  // While an operand is written over: the result that is, and whether others may depend on it.
  int writes = -1;
  bool reads_written = false;

  Waiting(DType dtype, const Dims& shape) : program(dtype, shape) {}
};
Waiting* waiting = nullptr;
// Results that somebody holds, but for which there was no memory.
std::size_t lost = 0;

// The program that is being computed, if one is: without the interpreter's lock, so another thread
// may come and ask.
bool is_computing = false;
std::mutex computing_mutex;
std::condition_variable computed;

// An operand that another thread wrote to when it forked this process is what it is: nobody writes
// to it again, and what depended on it is lost.
void leave_half_written() {
  if (!waiting || waiting->writes < 0) return;
  waiting->program.forget_write(std::exchange(waiting->writes, -1));
  if (!waiting->reads_written) return;
  for (ArrayNode* node : std::exchange(waiting, nullptr)->results) {
    node->deferred = node->holders > 0 ? ArrayNode::kLost : ArrayNode::kComputed;
    if (node->holders > 0) ++lost;
  }
  any_deferred = lost > 0;
}

// In a process that another thread forked meanwhile nobody computes: all still waits there.
void compute_anew_after_fork() {
#if defined(__unix__) || defined(__APPLE__)
  [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, [] {
    new (&computing_mutex) std::mutex;
    new (&computed) std::condition_variable;
    if (std::exchange(is_computing, false)) leave_half_written();
  });
#endif
}

void await_other_thread() {
  const Unlocked unlocked(std::int64_t{1} << 62);
  std::unique_lock lock(computing_mutex);
  computed.wait(lock, [] { return !is_computing; });
}

void set_computing(bool value) {
  {
    const std::lock_guard lock(computing_mutex);
    is_computing = value;
  }
  if (!value) computed.notify_all();
}

bool is_shared(const Storage& storage) { return storage.exposures > 0 || storage.shared_version; }

// Whether an operand is even (see Note [Even operands]) and nobody else can write to it.
bool can_wait_for(const Operand& given, const Array& like) {
  const Node* node = given.node;
  Number number;
  if (!node || node->is_inline()) return even_number(node, given.number, like.dtype, &number);
  const ArrayNode* operand = node->as_array();
  const Array& array = operand->layout();
  if (array.dtype != like.dtype || node->has(kWeak) || !(array.shape == like.shape)) return false;
  if (operand->deferred != ArrayNode::kComputed) return operand->deferred >= 0;
  if (!array.data) return false;
  return array.is_one_number() || (array.is_contiguous() && !is_shared(*array.storage.get()));
}

int number_of_operand(ArrayProgram& program, const Operand& given) {
  const Node* node = given.node;
  if (node && !node->is_inline()) {
    const ArrayNode* operand = node->as_array();
    if (operand->deferred >= 0) return operand->deferred;
    const Array& array = operand->layout();
    return array.is_one_number() ? program.read_number(array.data) : program.read_array(array);
  }
  Number number;
  even_number(node, given.number, program.dtype(), &number);
  return program.read_number(&number);
}

// A result without elements.
Value make_deferred(int operand) {
  Value result = make_array({.dtype = waiting->program.dtype(),
                             .shape = waiting->program.shape(),
                             .strides = contiguous_strides(waiting->program.shape()),
                             .storage = {},
                             .data = nullptr});
  ArrayNode* node = result->as_array();
  node->deferred = operand;
  ++node->references;
  waiting->results.push_back(node);
  return result;
}

void start_program(const Array& like) {
  const auto fits = [&] {
    return waiting->program.dtype() == like.dtype && waiting->program.shape() == like.shape &&
           waiting->program.step_count() < kMostSteps;
  };
  while (waiting && !fits()) compute_deferred();
  if (waiting) return;
  compute_anew_after_fork();
  waiting = new Waiting(like.dtype, like.shape);
  any_deferred = true;
}

std::vector<Array> memory_for(const std::vector<ArrayNode*>& results) {
  std::vector<Array> arrays;
  for (const ArrayNode* node : results) {
    arrays.push_back(waiting->program.new_memory_for(node->deferred));
  }
  return arrays;
}

// Computes all `results` that wait but one. False if there was no memory.
bool run_waiting(const ArrayNode* kept, std::vector<ArrayNode*>& results,
                 std::vector<Array>& arrays) {
  struct Computing {
    Computing() { set_computing(true); }
    ~Computing() { set_computing(false); }
  } const now;
  try {
    results = waiting->results;
    std::erase(results, kept);
    arrays = memory_for(results);
    waiting->program.run();
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

void finish(ArrayNode* node, Array* array) {
  node->deferred = ArrayNode::kComputed;
  if (node->holders == 0) return;
  if (array) {
    node->stored.storage = std::move(array->storage);
    node->stored.data = array->data;
  } else {
    node->deferred = ArrayNode::kLost;
    ++lost;
  }
}

// Computes all results that wait but one, if any, which will then be the only one.
void compute_all_but(ArrayNode* kept) {
  std::vector<ArrayNode*> results;
  std::vector<Array> arrays;
  const bool succeeded = run_waiting(kept, results, arrays);
  std::unique_ptr<Waiting> done;
  if (kept && succeeded) {
    waiting->results.assign(1, kept);
    waiting->program.forget_results();
    waiting->is_cheap = false;
  } else {
    done.reset(std::exchange(waiting, nullptr));
    results = std::move(done->results);
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    finish(results[i], succeeded ? &arrays[i] : nullptr);
  }
  any_deferred = waiting || lost > 0;
  for (ArrayNode* node : results) drop(node);
  if (!succeeded) throw std::bad_alloc();
}

}  // namespace

Value defer(const Operation& operation, const Operand* operands, int count, const Array& like) {
  if (is_computing || like.ndim() == 0 || !is_floating(like.dtype)) return Value();
  if (thread_state.modes != 0 || thread_state.forward_log) return Value();
  const Loop loop = operation.loops[static_cast<std::size_t>(like.dtype)];
  if (!loop || operation.kind == OperationKind::kComparison) return Value();
  for (int i = 0; i < count; ++i) {
    if (!can_wait_for(operands[i], like)) return Value();
  }
  start_program(like);
  waiting->is_cheap = waiting->is_cheap && operation.is_cheap;
  int in[2] = {};
  for (int i = 0; i < count; ++i) in[i] = number_of_operand(waiting->program, operands[i]);
  return make_deferred(waiting->program.add_step(loop, count, in));
}

namespace {

bool can_be_written(const ArrayNode* target) {
  const Array& array = target->layout();
  return target->deferred == ArrayNode::kComputed && array.data && array.is_contiguous() &&
         array.dtype == waiting->program.dtype() && array.shape == waiting->program.shape() &&
         array.storage->writable && !array.storage->shared_version &&
         !waiting->program.reads_across(array);
}

// The number of operation(target, factor * other), which is added to what waits.
int add_write(const Operation& operation, const Array& target, int other, double factor) {
  const auto loop_of = [&](const Operation& op) {
    return op.loops[static_cast<std::size_t>(target.dtype)];
  };
  ArrayProgram& program = waiting->program;
  if (operation.arity == 1) return program.add_step(loop_of(operation), 1, &other);
  if (factor != 1.0) {
    static const Operation& multiply = wengert::operation("multiply");
    const int scaled[2] = {other, number_of_operand(program, Operand(factor))};
    other = program.add_step(loop_of(multiply), 2, scaled);
  }
  const int in[2] = {program.read_array(target), other};
  return program.add_step(loop_of(operation), 2, in);
}

}  // namespace

bool write_deferred(const Operation& operation, ArrayNode* target, ArrayNode* other, double factor,
                    bool keeps) {
  if (is_computing || other->deferred < 0 || !can_be_written(target)) return false;
  const Array array = target->layout();
  if (!operation.loops[static_cast<std::size_t>(array.dtype)]) return false;
  keeps =
      keeps || other->has(kSavedResult) || waiting->program.is_made_from(other->deferred, array);
  waiting->reads_written = waiting->program.reads(array);
  waiting->writes = add_write(operation, array, other->deferred, factor);
  waiting->program.write(waiting->writes, array);
  compute_all_but(keeps ? nullptr : other);
  if (waiting) waiting->writes = -1;
  array.storage->bump_version();
  return true;
}

Array sum_of_deferred(ArrayNode* node) {
  if (node->deferred < 0 || is_computing || thread_state.modes != 0) return Array();
  Array total = empty(waiting->program.dtype(), Dims());
  waiting->program.sum(node->deferred, total);
  constexpr std::size_t few = 8;
  const bool waits_on = waiting->is_cheap && waiting->program.step_count() <= few;
  compute_all_but(waits_on && !node->has(kSavedResult) ? node : nullptr);
  return total;
}

void compute_deferred() {
  while (is_computing) await_other_thread();
  if (waiting) compute_all_but(nullptr);
}

void compute_deferred(ArrayNode* node) {
  compute_deferred();
  if (node->deferred == ArrayNode::kLost) throw std::bad_alloc();
}

void lose_deferred(ArrayNode* node) {
  if (node->deferred == ArrayNode::kLost) {
    --lost;
  } else {
    if (is_computing) return;  // another thread's affair
    std::erase(waiting->results, node);
    --node->references;  // not the last one: who calls has one
    if (waiting->results.empty()) delete std::exchange(waiting, nullptr);
  }
  node->deferred = ArrayNode::kComputed;
  any_deferred = waiting || lost > 0;
}

}  // namespace wengert
