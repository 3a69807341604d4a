// The extension module wengert._core.
#include <pybind11/stl.h>

#include "bindings/array_input.h"
#include "bindings/batching.h"
#include "bindings/callable.h"
#include "bindings/convert.h"
#include "bindings/grad_mode.h"
#include "bindings/graph_node.h"
#include "bindings/python_node.h"
#include "bindings/tensor_object.h"
#include "engine/backward.h"
#include "engine/batch.h"
#include "engine/deferred.h"
#include "kernels/matmul.h"
#include "kernels/parallel.h"
#include "ops/operations.h"

namespace wengert::bindings {
namespace {

// What an operation's record says, for stubs, documentation, tests and NumPy dispatch.
py::dict describe(const Operation& op) {
  py::dict record;
  record["name"] = op.name;
  record["doc"] = op.doc;
  record["numpy"] = op.numpy;
  record["aliases"] = op.aliases;
  record["symbol"] = op.symbol;
  record["arity"] = op.arity;
  record["domain"] = op.domain;
  record["public"] = op.is_public;
  const char* kinds[] = {"leaf", "numeric", "real", "comparison", "structural"};
  record["kind"] = kinds[static_cast<int>(op.kind)];
  return record;
}

py::list describe_operations() {
  py::list records;
  for (int i = 1; i < operation_count(); ++i)
    records.append(describe(operation(static_cast<std::uint16_t>(i))));
  return records;
}

py::list describe_functions() {
  py::list records;
  for (const FunctionRecord& function : functions()) {
    py::dict record;
    record["name"] = function.name;
    record["doc"] = function.doc;
    record["signature"] = function.signature;
    record["numpy"] = function.numpy;
    record["aliases"] = function.aliases;
    record["method"] = function.is_method;
    records.append(record);
  }
  return records;
}

py::dict parameter_aliases() {
  py::dict aliases;
  for (const auto& [theirs, ours] : kParameterAliases) aliases[theirs] = ours;
  return aliases;
}

// Large products go to NumPy's BLAS, which is tuned for the machine.
bool multiply_with_numpy(const Array& a, const Array& b, const Array& out) {
  static PyObject* numpy_matmul =
      py::object(py::module_::import("numpy").attr("matmul")).release().ptr();
  const py::object result = to_numpy(out);
  const py::handle multiply(numpy_matmul);
  multiply(to_numpy(a), to_numpy(b), py::arg("out") = result);
  return true;
}

// Scripts name a device; there is one.
void require_cpu(py::handle device) {
  if (device.is_none()) return;
  const auto name = py::str(device).cast<std::string>();
  if (name == "cpu" || name == "cpu:0") return;
  throw std::runtime_error("device: expected 'cpu', the only one there is, got '" + name + "'");
}

// Where argument `name` of tensor() goes; null for another name.
PyObject** place_of(PyObject* name, PyObject** places) {
  const char* const names[] = {"data", "dtype", "requires_grad", "device"};
  for (int i = 0; i < 4; ++i) {
    if (PyUnicode_CompareWithASCIIString(name, names[i]) == 0) return &places[i];
  }
  return nullptr;
}

Value tensor_from_stack(PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  PyObject* places[4] = {};
  const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  if (count > 3)
    throw TypeError("tensor() takes at most 3 arguments, got " + std::to_string(count + named));
  std::copy(args, args + count, places);
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject* name = PyTuple_GET_ITEM(keywords, i);
    PyObject** place = place_of(name, places);
    if (!place || *place) {
      throw TypeError(std::string("tensor() got ") +
                      (place ? "multiple values for" : "an unexpected keyword") + " argument '" +
                      py::handle(name).cast<std::string>() + "'");
    }
    *place = args[count + i];
  }
  if (places[3]) require_cpu(places[3]);
  if (!places[0]) throw TypeError("tensor() missing required argument 'data'");
  return new_tensor_value(places[0], places[1] ? places[1] : Py_None,
                          places[2] ? places[2] : Py_False);
}

PyObject* make_tensor(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    PyObject* tensor = wrap_new(tensor_from_stack(args, count, keywords));
    // A leaf keeps its handle, so that the graph can give back the very object.
    if (node_of(tensor)->requires_grad()) keep_identity(tensor);
    return tensor;
  });
}

const char kTensorDoc[] =
    "tensor(data, dtype=None, requires_grad=False, device=None)\n--\n\n"
    "A new tensor with a copy of `data`: a number, nested lists of numbers, or an array.\n\n"
    "Numbers with a fraction become float64, integers int64; arrays keep their dtype.\n\n"
    ">>> import wengert as wg\n"
    ">>> wg.tensor([[1, 2], [3, 4.5]])\n"
    "tensor([[1. , 2. ],\n"
    "        [3. , 4.5]])";

PyMethodDef functions_of_module[] = {
    {"tensor", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(make_tensor)),
     METH_FASTCALL | METH_KEYWORDS, kTensorDoc},
    {nullptr, nullptr, 0, nullptr}};

void add_state(py::module_& module) {
  if (PyModule_AddFunctions(module.ptr(), functions_of_module) != 0) throw py::error_already_set();
  module.def(
      "is_grad_enabled", [] { return thread_state.grad_enabled; },
      "Whether operations are recorded in this thread.");
  module.def(
      "set_grad_enabled",
      [](bool enabled) { return std::exchange(thread_state.grad_enabled, enabled); },
      py::arg("enabled"), "Sets it, and returns what it was.");
  module.def(
      "set_modes",
      [](int mask, int modes) {
        const int before = thread_state.modes;
        thread_state.modes = static_cast<std::uint8_t>((before & ~mask) | (modes & mask));
        return before & mask;
      },
      py::arg("mask"), py::arg("modes"),
      "Switches the modes of `mask` as `modes` says, and returns what they were.");
  module.def("require_cpu", require_cpu, py::arg("device"), "Refuses any other device.");
  module.def("modes", [] { return static_cast<int>(thread_state.modes); });
  module.def("set_num_threads", set_num_threads, py::arg("count"));
  module.def("num_threads", num_threads);
}

void add_forward_mode(py::module_& module) {
  module.def("make_dual", [](const py::object& primal, const py::object& tangent, int level) {
    return py::reinterpret_steal<py::object>(
        wrap(make_dual(value_of(primal.ptr()), value_of(tangent.ptr()), level)));
  });
  module.def("unpack_dual", [](const py::object& tensor, int level) -> py::tuple {
    const Value value = value_of(tensor.ptr());
    if (!value->has(kWrapped) || value->extra->level != level)
      return py::make_tuple(tensor, py::none());
    if (any_batched({value->extra->primal, value->extra->tangent})) {
      throw CannotBatch("a tangent asked for by itself");
    }
    return py::make_tuple(py::reinterpret_steal<py::object>(wrap(value->extra->primal)),
                          py::reinterpret_steal<py::object>(wrap(value->extra->tangent)));
  });
  module.def("current_pass", current_pass,
             "A number of the backward pass under way in this thread; 0 if there is none.");
  module.def(
      "pass_awaits",
      [](const py::object& node) {
        return running_pass() && running_pass()->awaits(node_of_object(node.ptr()));
      },
      py::arg("node"), "Whether the backward pass under way will still come to a node.");
  module.def("is_running", is_running, py::arg("number"),
             "Whether the pass of that number is under way in this thread.");
  module.def("change_dual_level", [](int change) { return thread_state.dual_level += change; });
}

void add_debugging(py::module_& module) {
  module.def(
      "live_objects",
      [] {
        if (any_deferred) compute_deferred();
        const NodeCounts nodes = node_counts();
        const StorageCounts storages = storage_counts();
        py::dict counts;
        counts["scalar_nodes"] = nodes.scalar_nodes;
        counts["array_nodes"] = nodes.array_nodes;
        counts["storages"] = storages.live_storages;
        counts["bytes"] = storages.live_bytes;
        return counts;
      },
      "Counts of nodes, buffers and bytes alive: for finding leaks.");
  module.def(
      "release_cached_memory",
      [] {
        release_cached_storage();
        Slabs::release_retired();
      },
      "Gives memory kept for reuse back to the system.");
  module.def(
      "is_deferred",
      [](const py::object& tensor) {
        const Value value = value_of(tensor.ptr());
        return !value->is_inline() && value->as_array()->deferred >= 0;
      },
      py::arg("tensor"), "Whether the operation that makes it waits to be computed: for tests.");
  module.def(
      "defer_from", [](std::int64_t size) { return std::exchange(deferred_from, size); },
      py::arg("size"),
      "Sets from how many elements on operations wait to be computed together, and returns what it "
      "was: for tests.");
}

}  // namespace
}  // namespace wengert::bindings

PYBIND11_MODULE(_core, module) {
  using namespace wengert;
  using namespace wengert::bindings;
  py::register_exception_translator([](std::exception_ptr pointer) {
    if (!pointer) return;
    try {
      std::rethrow_exception(pointer);
    } catch (const TypeError& error) {
      PyErr_SetString(PyExc_TypeError, error.what());
    } catch (const FloatingPointError& error) {
      PyErr_SetString(PyExc_FloatingPointError, error.what());
    }
  });
  register_operations();
  set_unlock_hooks([] { return static_cast<void*>(PyEval_SaveThread()); },
                   [](void* state) { PyEval_RestoreThread(static_cast<PyThreadState*>(state)); });
  set_gemm(multiply_with_numpy);
  add_dtypes(module);
  create_tensor_type(module);
  add_graph_node(module);
  add_grad_modes(module);
  add_callables(module);
  for (int i = 0; i < kDTypes; ++i)
    module.attr("__all__").cast<py::list>().append(name_of(static_cast<DType>(i)));
  module.attr("__version__") = WENGERT_VERSION;
  add_autograd(module);
  add_saved_hooks(module);
  add_anomaly(module);
  add_cycle_collection(module);
  add_state(module);
  add_forward_mode(module);
  add_batching(module);
  add_debugging(module);
  module.def(
      "from_numpy",
      [](const py::object& array) {
        return py::reinterpret_steal<py::object>(wrap(shared_value(array.ptr(), false)));
      },
      py::arg("array"), "A tensor that shares the memory of an array.");
  module.def(
      "from_new_numpy",
      [](const py::object& array) {
        return py::reinterpret_steal<py::object>(wrap(shared_value(array.ptr(), true)));
      },
      py::arg("array"), "The same for an array that nobody else has, nor will have.");
  module.def("operations", describe_operations);
  module.def("functions", describe_functions);
  module.def("parameter_aliases", parameter_aliases);
}
