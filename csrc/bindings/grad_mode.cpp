#include "bindings/grad_mode.h"

#include <structmember.h>

#include <new>
#include <utility>
#include <vector>

#include "bindings/errors.h"
#include "engine/state.h"

namespace wengert::bindings {
namespace {

namespace py = pybind11;

// A loop of descent enters one of these in each step, beside a few operations on small arrays: in
// Python it would cost more than several of them.
struct GradModeObject {
  PyObject_HEAD bool enabled;
  std::vector<bool> before;  // what it was each time this was entered and not left yet
};

GradModeObject* mode_of(PyObject* self) { return reinterpret_cast<GradModeObject*>(self); }

PyObject* create(PyTypeObject* type, bool enabled) {
  PyObject* self = type->tp_alloc(type, 0);
  if (!self) return nullptr;
  mode_of(self)->enabled = enabled;
  new (&mode_of(self)->before) std::vector<bool>();
  return self;
}

// Arguments are for the __init__ of subclasses.
PyObject* create_any(PyTypeObject* type, PyObject*, PyObject*) { return create(type, false); }

// `@no_grad` does what `@no_grad()` does.
template <bool kEnabled>
PyObject* create_fixed(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"function", nullptr};
  PyObject* function = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", const_cast<char**>(names), &function)) {
    return nullptr;
  }
  PyObject* self = create(type, kEnabled);
  if (!self || !function || function == Py_None) return self;
  PyObject* wrapped = PyObject_CallOneArg(self, function);
  Py_DECREF(self);
  return wrapped;
}

void deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  mode_of(self)->before.~vector();
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* enter(PyObject* self, PyObject*) {
  return guarded([&] {
    GradModeObject* mode = mode_of(self);
    mode->before.push_back(thread_state.grad_enabled);
    thread_state.grad_enabled = mode->enabled;
    return Py_NewRef(Py_None);
  });
}

PyObject* leave(PyObject* self, PyObject* const*, Py_ssize_t) {
  return guarded([&] {
    std::vector<bool>& before = mode_of(self)->before;
    if (before.empty()) {
      throw std::runtime_error(std::string(Py_TYPE(self)->tp_name) +
                               ": left without having been entered; use it in a `with` statement");
    }
    thread_state.grad_enabled = before.back();
    before.pop_back();
    return Py_NewRef(Py_None);
  });
}

PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, "__enter__($self, /)\n--\n\nSwitch to this mode."},
    {"__exit__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(leave)), METH_FASTCALL,
     "__exit__($self, /, *args)\n--\n\nSwitch back to the mode before."},
    {nullptr, nullptr, 0, nullptr}};

PyMemberDef members[] = {{"_enabled", T_BOOL, offsetof(GradModeObject, enabled), 0, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

PyObject* add_type(py::module_& module, const char* name, newfunc create_one, PyObject* base) {
  PyType_Slot slots[] = {
      {Py_tp_new, reinterpret_cast<void*>(create_one)},
      {base ? 0 : Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},  // the rest is inherited
      {Py_tp_methods, methods},
      {Py_tp_members, members},
      {0, nullptr}};
  PyType_Spec spec = {name, sizeof(GradModeObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                      slots};
  PyObject* type = base ? PyType_FromSpecWithBases(&spec, base) : PyType_FromSpec(&spec);
  if (!type || PyModule_AddType(module.ptr(), reinterpret_cast<PyTypeObject*>(type)) != 0) {
    throw py::error_already_set();
  }
  return type;
}

}  // namespace

void add_grad_modes(py::module_& module) {
  PyObject* base = add_type(module, "wengert._core.GradMode", create_any, nullptr);
  add_type(module, "wengert._core.NoGrad", create_fixed<false>, base);
  add_type(module, "wengert._core.EnableGrad", create_fixed<true>, base);
}

}  // namespace wengert::bindings
