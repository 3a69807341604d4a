#include "bindings/function_context.h"

#include <structmember.h>

#include <new>

#include "bindings/function_node.h"
#include "bindings/graph_node.h"

namespace wengert::bindings {

PyTypeObject* context_type = nullptr;

namespace {

// ---- life ---------------------------------------------------------------------------------------

PyObject* create(PyTypeObject* type) {
  PyObject* object = type->tp_alloc(type, 0);
  if (!object) return nullptr;
  ContextObject* self = context_of(object);
  new (&self->call) CallRecord;
  self->materialize = true;
  return object;
}

PyObject* new_from_python(PyTypeObject* type, PyObject*, PyObject*) { return create(type); }

int traverse(PyObject* object, visitproc visit, void* arg) {
  const ContextObject* self = context_of(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->dict);
  Py_VISIT(self->function);
  Py_VISIT(self->saved);
  Py_VISIT(self->saved_forward);
  Py_VISIT(self->dirty);
  Py_VISIT(self->constants);
  Py_VISIT(self->outputs);
  return 0;
}

int clear(PyObject* object) {
  ContextObject* self = context_of(object);
  Py_CLEAR(self->dict);
  Py_CLEAR(self->function);
  Py_CLEAR(self->needs_input_grad);
  Py_CLEAR(self->saved);
  Py_CLEAR(self->saved_forward);
  Py_CLEAR(self->dirty);
  Py_CLEAR(self->constants);
  Py_CLEAR(self->outputs);
  return 0;
}

void deallocate(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  if (context_of(object)->weakrefs) PyObject_ClearWeakRefs(object);
  if (context_of(object)->hub) context_of(object)->hub->unowned = nullptr;
  clear(object);
  context_of(object)->call.~CallRecord();
  type->tp_free(object);
  Py_DECREF(type);
}

// ---- what forward calls -------------------------------------------------------------------------

PyObject* tuple_of(PyObject* const* items, Py_ssize_t count) {
  PyObject* tuple = checked(PyTuple_New(count));
  for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SET_ITEM(tuple, i, Py_NewRef(items[i]));
  return tuple;
}

void replace(PyObject*& place, PyObject* tuple) { Py_XDECREF(std::exchange(place, tuple)); }

// Keeps the tensors given to a method; None is allowed among them where `or_none`.
PyObject* keep(PyObject*& place, PyObject* const* items, Py_ssize_t count, const char* method,
               bool or_none) {
  return guarded([&]() -> PyObject* {
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (is_tensor(items[i]) || (or_none && items[i] == Py_None)) continue;
      throw TypeError(std::string(method) + " can only " +
                      (or_none ? "save tensors" : "mark tensors") + ", but argument " +
                      std::to_string(i) + " is of type '" + Py_TYPE(items[i])->tp_name + "'" +
                      (or_none ? "; set it as an attribute of ctx" : ""));
    }
    replace(place, tuple_of(items, count));
    Py_RETURN_NONE;
  });
}

PyObject* save_for_backward(PyObject* self, PyObject* const* items, Py_ssize_t count) {
  return keep(context_of(self)->saved, items, count, "save_for_backward", true);
}
PyObject* save_for_forward(PyObject* self, PyObject* const* items, Py_ssize_t count) {
  return keep(context_of(self)->saved_forward, items, count, "save_for_forward", true);
}
PyObject* mark_dirty(PyObject* self, PyObject* const* items, Py_ssize_t count) {
  return keep(context_of(self)->dirty, items, count, "mark_dirty", false);
}
PyObject* mark_non_differentiable(PyObject* self, PyObject* const* items, Py_ssize_t count) {
  return keep(context_of(self)->constants, items, count, "mark_non_differentiable", false);
}

PyObject* set_materialize_grads(PyObject* self, PyObject* value) {
  const int answer = PyObject_IsTrue(value);
  if (answer < 0) return nullptr;
  context_of(self)->materialize = answer != 0;
  Py_RETURN_NONE;
}

// ---- what backward reads ------------------------------------------------------------------------

// With the outputs in their places, and unpacked what hooks packed.
py::tuple all_saved(const ContextObject* self) {
  py::tuple tensors(static_cast<std::size_t>(PyTuple_GET_SIZE(self->saved)));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    tensors[i] = unpacked_tensor(PyTuple_GET_ITEM(self->saved, static_cast<Py_ssize_t>(i)));
  }
  if (!self->outputs) return tensors;
  for (const auto& [place, position] : self->call.saved_outputs) {
    tensors[place] = py::handle(PyTuple_GET_ITEM(self->outputs, static_cast<Py_ssize_t>(position)));
  }
  return tensors;
}

PyObject* get_saved_tensors(PyObject* object, void*) {
  const ContextObject* self = context_of(object);
  return guarded([&]() -> PyObject* {
    if (self->in_jvp && self->saved_forward) return Py_NewRef(self->saved_forward);
    if (self->freed) {
      throw std::runtime_error(
          "Trying to backward through the graph a second time (or directly access saved tensors "
          "after they have already been freed): '" +
          name_of_function(self) +
          "' has freed its saved tensors; pass retain_graph=True to the first backward");
    }
    if (!self->saved) return checked(PyTuple_New(0));
    if (self->call.saved_outputs.empty() && !self->call.saves_packed) return Py_NewRef(self->saved);
    return all_saved(self).release().ptr();
  });
}

PyObject* get_needs_input_grad(PyObject* object, void*) {
  PyObject* needs = context_of(object)->needs_input_grad;
  return needs ? Py_NewRef(needs) : PyTuple_New(0);
}

int set_needs_input_grad(PyObject* object, PyObject* value, void*) {
  replace(context_of(object)->needs_input_grad, Py_XNewRef(value));
  return 0;
}

// ---- what it has of the node
// ---------------------------------------------------------------------

// In PyTorch the context is the node; here each has its own life, so the context asks the node.
py::object node_of_call(PyObject* object, const char* what) {
  if (Node* node = context_of(object)->node) return graph_node(node);
  throw std::runtime_error(name_of_function(context_of(object)) + ": ctx." + what +
                           " belongs to the node of the call, and this one is not recorded: there "
                           "is one after forward, if an input requires grad");
}

PyObject* get_name(PyObject* object, PyObject*) {
  return guarded(
      [&] { return py::str(name_of_function(context_of(object)) + "Backward").release().ptr(); });
}

PyObject* get_next_functions(PyObject* object, void*) {
  return guarded([&]() -> PyObject* {
    if (!context_of(object)->node) return checked(PyTuple_New(0));
    return py::getattr(node_of_call(object, "next_functions"), "next_functions").release().ptr();
  });
}

PyObject* get_metadata(PyObject* object, void*) {
  return guarded(
      [&] { return py::getattr(node_of_call(object, "metadata"), "metadata").release().ptr(); });
}

PyObject* register_hook(PyObject* object, PyObject* fn) {
  return guarded([&] {
    const py::object node = node_of_call(object, "register_hook");
    return node.attr("register_hook")(py::handle(fn)).release().ptr();
  });
}

PyObject* register_prehook(PyObject* object, PyObject* fn) {
  return guarded([&] {
    const py::object node = node_of_call(object, "register_prehook");
    return node.attr("register_prehook")(py::handle(fn)).release().ptr();
  });
}

PyMethodDef fast(const char* name, PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t),
                 const char* doc) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
          METH_FASTCALL, doc};
}

PyMethodDef methods[] = {
    fast("save_for_backward", save_for_backward,
         "save_for_backward($self, /, *tensors)\n--\n\n"
         "Keep tensors (inputs, outputs or others) for `backward`, guarded against changes.\n\n"
         "Derivatives of higher order flow through inputs and outputs; any other tensor that\n"
         "forward computed from the inputs is not recorded, and a second derivative that would\n"
         "need it raises."),
    fast("save_for_forward", save_for_forward,
         "save_for_forward($self, /, *tensors)\n--\n\n"
         "Keep tensors for `jvp`, where `saved_tensors` gives them. Without it `jvp` gets what\n"
         "was saved for backward."),
    fast("mark_dirty", mark_dirty,
         "mark_dirty($self, /, *tensors)\n--\n\n"
         "Say which inputs `forward` has changed in place; it must return each of them."),
    fast("mark_non_differentiable", mark_non_differentiable,
         "mark_non_differentiable($self, /, *tensors)\n--\n\n"
         "Say that outputs have no gradient."),
    {"set_materialize_grads", set_materialize_grads, METH_O,
     "set_materialize_grads($self, value, /)\n--\n\n"
     "Whether `backward` gets zeros (the default) or None for outputs that were not used, and\n"
     "`jvp` for inputs without tangent."},
    {"name", get_name, METH_NOARGS,
     "name($self, /)\n--\n\nThe name of the node of the call, that of the class with "
     "\"Backward\"."},
    {"register_hook", register_hook, METH_O,
     "register_hook($self, fn, /)\n--\n\nAs `Node.register_hook` of the node of the call."},
    {"register_prehook", register_prehook, METH_O,
     "register_prehook($self, fn, /)\n--\n\nAs `Node.register_prehook` of the node of the call."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef properties[] = {
    {"saved_tensors", get_saved_tensors, nullptr, "What `save_for_backward` was given, a tuple.",
     nullptr},
    {"needs_input_grad", get_needs_input_grad, set_needs_input_grad,
     "For each argument of `apply`, whether its gradient is wanted.", nullptr},
    {"next_functions", get_next_functions, nullptr,
     "The nodes of the tensors among the arguments; empty before the call is recorded.", nullptr},
    {"metadata", get_metadata, nullptr, "The dict of the node of the call.", nullptr},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(ContextHead, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ContextHead, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

template <class F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

py::object new_context(PyObject* function) {
  auto context = py::reinterpret_steal<py::object>(checked(create(context_type)));
  context_of(context.ptr())->function = Py_NewRef(function);
  return context;
}

std::string name_of_function(const ContextObject* context) {
  if (!context->function || !PyType_Check(context->function)) return "Function";
  return py::handle(context->function).attr("__name__").cast<std::string>();
}

bool is_among(PyObject* object, PyObject* tuple_or_null) {
  if (!tuple_or_null) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple_or_null); ++i) {
    if (PyTuple_GET_ITEM(tuple_or_null, i) == object) return true;
  }
  return false;
}

void add_function_context(py::module_& module) {
  static PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("What `forward` of a `Function` leaves for `backward` and "
                                    "`jvp`; it takes any attribute.")},
      {Py_tp_new, slot(new_from_python)},
      {Py_tp_dealloc, slot(deallocate)},
      {Py_tp_traverse, slot(traverse)},
      {Py_tp_clear, slot(clear)},
      {Py_tp_methods, methods},
      {Py_tp_getset, properties},
      {Py_tp_members, members},
      {0, nullptr}};
  static PyType_Spec spec = {"wengert.autograd.FunctionContext", sizeof(ContextObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
  PyObject* type = checked(PyType_FromSpec(&spec));
  context_type = reinterpret_cast<PyTypeObject*>(type);
  module.add_object("FunctionContext", type);
}

}  // namespace wengert::bindings
