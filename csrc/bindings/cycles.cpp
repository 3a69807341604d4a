// Freeing cycles of references through the graph: see Note [Cycles] in engine/suspects.h.
#include <unordered_map>

#include "bindings/graph_node.h"
#include "bindings/python_node.h"
#include "engine/backward.h"
#include "engine/saved.h"
#include "engine/suspects.h"

namespace wengert::bindings {
namespace {

// Note [Trial deletion]: everything that can be reached from the suspects is counted as often as it
// is referred to from there. What has more references than that is in use from outside, and so is
// what can be reached from it. The rest is garbage. References that are not known here (held by C++
// code under way, by frames, by objects that are not looked into) make their target count as used:
// a mistake can only be to free nothing.
class Search {
 public:
  std::size_t run() {
    for (Node* node : suspects()) visit(node, true, false);
    while (!pending_.empty() && entries_.size() <= kMost) follow(pop(), false);
    if (!pending_.empty()) return entries_.size();  // too large to be worth it
    for (auto& [object, entry] : entries_) {
      if (references_of(object, entry) == entry.found) continue;
      entry.used = true;
      pending_.push_back(object);
    }
    while (!pending_.empty()) follow(pop(), true);
    release();
    return entries_.size();
  }

 private:
  struct Entry {
    bool is_node = false;
    bool used = false;
    Py_ssize_t found = 0;
  };
  static constexpr std::size_t kMost = 20'000'000;

  static Py_ssize_t references_of(const void* object, const Entry& entry) {
    return entry.is_node ? static_cast<const Node*>(object)->references
                         : Py_REFCNT(static_cast<PyObject*>(const_cast<void*>(object)));
  }

  void* pop() {
    void* object = pending_.back();
    pending_.pop_back();
    return object;
  }

  // First all references are counted; then what is used spreads over them.
  void visit(void* object, bool is_node, bool spreads, Py_ssize_t count = 0) {
    if (!object) return;
    const auto [at, is_new] = entries_.try_emplace(object);
    Entry& entry = at->second;
    if (is_new) entry.is_node = is_node;
    if (!spreads) {
      entry.found += count;
      if (is_new) pending_.push_back(object);
    } else if (!std::exchange(entry.used, true)) {
      pending_.push_back(object);
    }
  }

  void follow(void* object, bool spreads) {
    if (entries_.at(object).is_node)
      follow_node(static_cast<Node*>(object), spreads);
    else
      follow_object(static_cast<PyObject*>(object), spreads);
  }

  void follow_node(Node* node, bool spreads) {
    const auto to_node = [&](const Node* other) {
      visit(const_cast<Node*>(other), true, spreads, 1);
    };
    if (node->is_leaf()) to_node(node->inputs[0].node);  // the gradient
    for (std::uint32_t i = 0; !node->is_leaf() && i < node->input_count; ++i) {
      to_node(node->input(i));
    }
    const Extra* extra = node->extra;
    if (!extra) return;
    for (const Value* value : {&extra->grad, &extra->primal, &extra->tangent}) {
      to_node(value->get());
    }
    if (extra->attributes && extra->attributes.use_count() == 1) {
      std::vector<const Node*> values;
      extra->attributes->list_values(values);
      for (const Node* value : values) to_node(value);
    }
    for (PyObject* part : python_objects_of(*extra)) visit(part, false, spreads, 1);
  }

  void follow_object(PyObject* object, bool spreads) {
    const auto to_object = [&](PyObject* other) { visit(other, false, spreads, 1); };
    if (is_tensor(object)) {
      const auto* tensor = reinterpret_cast<TensorObject*>(object);
      visit(tensor->node, true, spreads, 1);
      if (!tensor->view) return;
      to_object(tensor->view->base);
      visit(tensor->view->base_node.get(), true, spreads, 1);
    } else if (Node* node = node_of_object(object)) {
      visit(node, true, spreads, 1);
    } else if (std::vector<PyObject*> parts; list_saved_tensor(object, parts)) {
      for (PyObject* part : parts) to_object(part);
    } else if (PyFunction_Check(object)) {  // without its globals, which lead everywhere
      const auto* function = reinterpret_cast<PyFunctionObject*>(object);
      to_object(function->func_closure);
      to_object(function->func_defaults);
      to_object(function->func_kwdefaults);
      to_object(function->func_dict);
    } else if (may_look_into(object)) {
      struct Context {
        Search* search;
        bool spreads;
      } context{this, spreads};
      const visitproc visitor = [](PyObject* other, void* arg) {
        auto* c = static_cast<Context*>(arg);
        c->search->visit(other, false, c->spreads, 1);
        return 0;
      };
      Py_TYPE(object)->tp_traverse(object, visitor, &context);
    }
  }

  static bool may_look_into(PyObject* object) {
    if (!PyObject_IS_GC(object) || !Py_TYPE(object)->tp_traverse) return false;
    return !PyType_Check(object) && !PyModule_Check(object) && !PyFrame_Check(object) &&
           !PyCode_Check(object) && !PyGen_Check(object) && !PyCoro_CheckExact(object);
  }

  // Taking away what closes cycles is enough: counting frees the rest.
  void release() {
    std::vector<Value> garbage;
    for (const auto& [object, entry] : entries_) {
      if (entry.used || !entry.is_node) continue;
      auto* node = static_cast<Node*>(const_cast<void*>(object));
      if (node->extra) garbage.emplace_back(node);
    }
    std::vector<Value> grads;
    for (const Value& node : garbage) {
      grads.push_back(node->is_leaf() ? grad_of(node.get()) : node->extra->grad);
      set_grad(node.get(), Value());
      if (node->has(kPacked)) release_saved(node.get());
      clear_python_objects(*node->extra);
    }
  }

  std::unordered_map<void*, Entry> entries_;
  std::vector<void*> pending_;
};

std::size_t collect_cycles() {
  static bool running = false;
  if (running || suspects().empty() || !Py_IsInitialized()) return 0;
  if (any_deferred) compute_deferred();  // which refers to nodes
  struct Running {
    Running() { running = true; }
    ~Running() { running = false; }
  } const now;
  const py::error_scope pending;
  return Search().run();
}

// Called by Python's own collector. Cycles through the graph go first: it cannot see them.
void before_collection(const std::string& phase, const py::dict& info) {
  if (phase == "start" && info["generation"].cast<int>() >= 2) looked(collect_cycles());
}

}  // namespace

void add_cycle_collection(py::module_& module) {
  set_cycle_collector(collect_cycles);
  py::module_::import("gc").attr("callbacks").attr("append")(py::cpp_function(before_collection));
  module.def(
      "collect_cycles", collect_cycles,
      "Frees cycles of references through the graph; returns how many objects it looked at.");
}

}  // namespace wengert::bindings
