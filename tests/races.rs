//! Races on workgroup memory, and barriers that nothing needs: composed shaders are interpreted, as
//! naga reads them, for every invocation of one workgroup. An invocation's accesses are noted with
//! the number of barriers before them. Between two barriers no two invocations may access the same
//! cell if one of them writes it.
//!
//! What floats come from buffers is unknown, and so is what is made of them. Control flow and
//! indices follow from parameters and from built-in values, which are known. Where a branch depends
//! on unknown values, both ways are gone. `resize` is left out, for its indices come from a table.

mod common;

use common::net::{self, Fusing};
use ghostnet::{
    Network, Precision,
    device::DeviceClass,
    graph::Shape,
    plan::{ConstantCache, Dispatch, Form, PipelineKey, Plan, grid},
};
use naga::{
    AddressSpace, BinaryOperator, Block, BuiltIn, Expression, Function, Handle, Literal, LocalVariable, MathFunction, Module, ScalarKind,
    Statement, Type, TypeInner, UnaryOperator,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Unknown,
    Bool(bool),
    Uint(u32),
    Sint(i32),
    Float(f32),
    Many(Vec<Value>),
    Pointer(Place, Vec<Option<u32>>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Local(Handle<LocalVariable>),
    Workgroup(usize),
    Params,
    Elsewhere,
}

use Value::{Bool, Float, Many, Pointer, Sint, Uint, Unknown};

enum Flow {
    On,
    Break,
    Continue,
    Return(Option<Value>),
}

/// Who accessed a cell between two barriers: two who wrote it and two who read it tell all.
#[derive(Default)]
struct Cell {
    writers: BTreeSet<u32>,
    readers: BTreeSet<u32>,
}

impl Cell {
    fn is_raced(&self) -> bool {
        self.writers.len() > 1 || self.writers.first().is_some_and(|writer| self.readers.iter().any(|reader| reader != writer))
    }
}

struct Machine<'a> {
    module: &'a Module,
    params: Value,
    workgroups: [u32; 3],
    group: u32,
    lane: u32,
    /// Barriers that this invocation has passed.
    epoch: u32,
    /// The barrier that is taken out.
    without: Option<*const Statement>,
    /// In the order of their first use.
    barriers: Vec<*const Statement>,
    cells: HashMap<(usize, u32, u32), Cell>,
}

/// A function at work.
struct Frame<'a> {
    function: &'a Function,
    arguments: Vec<Value>,
    values: Vec<Option<Value>>,
    locals: HashMap<Handle<LocalVariable>, Value>,
}

impl<'a> Machine<'a> {
    fn zero(&self, ty: Handle<Type>) -> Value {
        self.of_bytes(ty, &[0; 1 << 12], 0)
    }

    /// A value of a type as it lies in a uniform buffer.
    fn of_bytes(&self, ty: Handle<Type>, bytes: &[u8], at: usize) -> Value {
        let scalar = |kind, at: usize| {
            let word = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            match kind {
                ScalarKind::Bool => Bool(word != 0),
                ScalarKind::Uint => Uint(word),
                ScalarKind::Sint => Sint(word as i32),
                _ => Float(f32::from_bits(word)),
            }
        };
        match &self.module.types[ty].inner {
            TypeInner::Scalar(s) => scalar(s.kind, at),
            TypeInner::Vector { size, scalar: s } => Many((0..*size as usize).map(|i| scalar(s.kind, at + 4 * i)).collect()),
            TypeInner::Struct { members, .. } => {
                Many(members.iter().map(|member| self.of_bytes(member.ty, bytes, at + member.offset as usize)).collect())
            }
            _ => Unknown,
        }
    }

    fn call(&mut self, function: &'a Function, arguments: Vec<Value>) -> Option<Value> {
        let mut frame = Frame { function, arguments, values: vec![None; function.expressions.len()], locals: HashMap::new() };
        for (handle, variable) in function.local_variables.iter() {
            let value = match variable.init {
                Some(init) => self.value(&frame, init),
                None => self.zero(variable.ty),
            };
            frame.locals.insert(handle, value);
        }
        match self.block(&mut frame, &function.body) {
            Flow::Return(value) => value,
            _ => None,
        }
    }

    fn block(&mut self, frame: &mut Frame<'a>, block: &'a Block) -> Flow {
        for statement in block.iter() {
            match statement {
                Statement::Emit(range) => {
                    for handle in range.clone() {
                        let value = self.compute(frame, handle);
                        frame.values[handle.index()] = Some(value);
                    }
                }
                Statement::Block(block) => match self.block(frame, block) {
                    Flow::On => {}
                    other => return other,
                },
                Statement::If { condition, accept, reject } => {
                    let flow = match self.value(frame, *condition) {
                        Bool(true) => self.block(frame, accept),
                        Bool(false) => self.block(frame, reject),
                        _ => {
                            let epoch = self.epoch;
                            let before = frame.locals.clone();
                            assert!(matches!(self.block(frame, accept), Flow::On), "an unknown condition leads elsewhere");
                            let accepted = std::mem::replace(&mut frame.locals, before);
                            assert!(matches!(self.block(frame, reject), Flow::On), "an unknown condition leads elsewhere");
                            assert_eq!(self.epoch, epoch, "a barrier under an unknown condition");
                            for (handle, value) in &mut frame.locals {
                                if accepted[handle] != *value {
                                    *value = Unknown;
                                }
                            }
                            Flow::On
                        }
                    };
                    if !matches!(flow, Flow::On) {
                        return flow;
                    }
                }
                Statement::Switch { selector, cases } => {
                    let selector = match self.value(frame, *selector) {
                        Uint(number) => naga::SwitchValue::U32(number),
                        Sint(number) => naga::SwitchValue::I32(number),
                        other => panic!("a switch by {other:?}"),
                    };
                    let case = cases.iter().position(|case| case.value == selector);
                    let mut at = case.or_else(|| cases.iter().position(|case| case.value == naga::SwitchValue::Default));
                    while let Some(case) = at {
                        match self.block(frame, &cases[case].body) {
                            Flow::On | Flow::Break => {}
                            other => return other,
                        }
                        at = cases[case].fall_through.then_some(case + 1);
                    }
                }
                Statement::Loop { body, continuing, break_if } => loop {
                    match self.block(frame, body) {
                        Flow::On | Flow::Continue => {}
                        Flow::Break => break,
                        other => return other,
                    }
                    self.block(frame, continuing);
                    match break_if.map(|condition| self.value(frame, condition)) {
                        None | Some(Bool(false)) => {}
                        Some(Bool(true)) => break,
                        Some(other) => panic!("a loop until {other:?}"),
                    }
                },
                Statement::Break => return Flow::Break,
                Statement::Continue => return Flow::Continue,
                Statement::Return { value } => return Flow::Return(value.map(|value| self.value(frame, value))),
                Statement::ControlBarrier(_) => {
                    let barrier = std::ptr::from_ref(statement);
                    if !self.barriers.contains(&barrier) {
                        self.barriers.push(barrier);
                    }
                    self.epoch += u32::from(self.without != Some(barrier));
                }
                Statement::Store { pointer, value } => {
                    let (pointer, value) = (self.value(frame, *pointer), self.value(frame, *value));
                    self.store(frame, pointer, value);
                }
                Statement::WorkGroupUniformLoad { pointer, result } => {
                    // There is a barrier before and after it.
                    self.epoch += 1;
                    let pointer = self.value(frame, *pointer);
                    let value = self.load(frame, &pointer);
                    self.epoch += 1;
                    frame.values[result.index()] = Some(value);
                }
                Statement::Call { function, arguments, result } => {
                    let arguments = arguments.iter().map(|argument| self.value(frame, *argument)).collect();
                    let value = self.call(&self.module.functions[*function], arguments);
                    if let Some(result) = result {
                        frame.values[result.index()] = Some(value.unwrap_or(Unknown));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        Flow::On
    }

    fn access(&mut self, variable: usize, path: &[Option<u32>], writes: bool) {
        let cell = path.first().copied().unwrap_or(Some(0)).expect("an index of workgroup memory is known");
        let cell = self.cells.entry((variable, cell, self.epoch)).or_default();
        let of = if writes { &mut cell.writers } else { &mut cell.readers };
        if of.len() < 2 {
            of.insert(self.lane);
        }
    }

    fn load(&mut self, frame: &Frame<'a>, pointer: &Value) -> Value {
        let Pointer(place, path) = pointer else { panic!("a load from {pointer:?}") };
        let whole = match place {
            Place::Workgroup(variable) => {
                self.access(*variable, path, false);
                return Unknown;
            }
            Place::Elsewhere => return Unknown,
            Place::Params => &self.params,
            Place::Local(handle) => &frame.locals[handle],
        };
        path.iter().fold(whole.clone(), |value, index| part(&value, *index))
    }

    fn store(&mut self, frame: &mut Frame<'a>, pointer: Value, value: Value) {
        match pointer {
            Pointer(Place::Workgroup(variable), path) => self.access(variable, &path, true),
            Pointer(Place::Local(handle), path) => set(frame.locals.get_mut(&handle).expect("it is there"), &path, value),
            _ => {}
        }
    }

    /// The value of an expression that was computed, or that needs no computing.
    fn value(&mut self, frame: &Frame<'a>, handle: Handle<Expression>) -> Value {
        match &frame.values[handle.index()] {
            Some(value) => value.clone(),
            None => self.compute(frame, handle),
        }
    }

    fn compute(&mut self, frame: &Frame<'a>, handle: Handle<Expression>) -> Value {
        match &frame.function.expressions[handle] {
            Expression::FunctionArgument(at) => frame.arguments[*at as usize].clone(),
            Expression::LocalVariable(handle) => Pointer(Place::Local(*handle), Vec::new()),
            Expression::Load { pointer } => {
                let pointer = self.value(frame, *pointer);
                self.load(frame, &pointer)
            }
            Expression::CallResult(_) => panic!("a result before its call"),
            other => {
                let mut value = |handle| self.value(frame, handle);
                let operands = operands(other).into_iter().map(&mut value).collect();
                self.pure(other, operands)
            }
        }
    }

    fn constant(&self, handle: Handle<Expression>) -> Value {
        let expression = &self.module.global_expressions[handle];
        self.pure(expression, operands(expression).into_iter().map(|operand| self.constant(operand)).collect())
    }

    /// What an expression makes of its operands.
    fn pure(&self, expression: &Expression, operands: Vec<Value>) -> Value {
        match expression {
            Expression::Literal(literal) => match *literal {
                Literal::U32(number) => Uint(number),
                Literal::I32(number) => Sint(number),
                Literal::F32(number) => Float(number),
                Literal::Bool(value) => Bool(value),
                _ => Unknown,
            },
            Expression::Constant(handle) => self.constant(self.module.constants[*handle].init),
            Expression::ZeroValue(ty) => self.zero(*ty),
            Expression::GlobalVariable(handle) => {
                let place = match self.module.global_variables[*handle].space {
                    AddressSpace::WorkGroup => Place::Workgroup(handle.index()),
                    AddressSpace::Uniform => Place::Params,
                    _ => Place::Elsewhere,
                };
                Pointer(place, Vec::new())
            }
            // Of vectors, too: each component.
            Expression::Compose { ty, .. } => match self.module.types[*ty].inner {
                TypeInner::Vector { .. } => {
                    let parts = operands.into_iter().flat_map(|part| if let Many(parts) = part { parts } else { vec![part] });
                    Many(parts.collect())
                }
                _ => Many(operands),
            },
            Expression::Splat { size, .. } => Many(vec![operands[0].clone(); *size as usize]),
            Expression::Swizzle { size, pattern, .. } => {
                Many(pattern[..*size as usize].iter().map(|at| part(&operands[0], Some(*at as u32))).collect())
            }
            Expression::Access { .. } => match &operands[1] {
                Uint(index) => part(&operands[0], Some(*index)),
                Sint(index) => part(&operands[0], Some(*index as u32)),
                _ => part(&operands[0], None),
            },
            Expression::AccessIndex { index, .. } => part(&operands[0], Some(*index)),
            Expression::Unary { op, .. } => each(&operands, &|of| match (op, &of[0]) {
                (UnaryOperator::LogicalNot, Bool(value)) => Bool(!value),
                (UnaryOperator::BitwiseNot, Uint(value)) => Uint(!value),
                (UnaryOperator::Negate, Sint(value)) => Sint(value.wrapping_neg()),
                (UnaryOperator::Negate, Float(value)) => Float(-value),
                _ => Unknown,
            }),
            Expression::Binary { op, .. } => each(&operands, &|of| binary(*op, &of[0], &of[1])),
            Expression::Select { .. } => match &operands[2] {
                Bool(condition) => operands[usize::from(!condition)].clone(),
                Unknown if operands[0] == operands[1] => operands[0].clone(),
                Unknown => Unknown,
                _ => each(&operands, &|of| match of[2] {
                    Bool(condition) => of[usize::from(!condition)].clone(),
                    _ => Unknown,
                }),
            },
            Expression::Math { fun, .. } => each(&operands, &|of| match (fun, of) {
                (MathFunction::Min, [Uint(a), Uint(b)]) => Uint(*a.min(b)),
                (MathFunction::Max, [Uint(a), Uint(b)]) => Uint(*a.max(b)),
                (MathFunction::Min, [Sint(a), Sint(b)]) => Sint(*a.min(b)),
                (MathFunction::Max, [Sint(a), Sint(b)]) => Sint(*a.max(b)),
                (MathFunction::Clamp, [Sint(a), Sint(low), Sint(high)]) => Sint(*a.max(low).min(high)),
                (MathFunction::Clamp, [Uint(a), Uint(low), Uint(high)]) => Uint(*a.max(low).min(high)),
                _ => Unknown,
            }),
            Expression::As { kind, convert, .. } => each(&operands, &|of| match (kind, &of[0], convert) {
                (ScalarKind::Float, Uint(value), Some(_)) => Float(*value as f32),
                (ScalarKind::Float, Sint(value), Some(_)) => Float(*value as f32),
                (ScalarKind::Uint, Float(value), Some(_)) => Uint(*value as u32),
                (ScalarKind::Sint, Float(value), Some(_)) => Sint(*value as i32),
                (ScalarKind::Uint, Sint(value), _) => Uint(*value as u32),
                (ScalarKind::Sint, Uint(value), _) => Sint(*value as i32),
                (ScalarKind::Uint, Bool(value), Some(_)) => Uint((*value).into()),
                (ScalarKind::Uint, Uint(_), _) | (ScalarKind::Sint, Sint(_), _) | (ScalarKind::Float, Float(_), Some(_)) => of[0].clone(),
                _ => Unknown,
            }),
            _ => Unknown,
        }
    }
}

/// Sets part of a value.
fn set(target: &mut Value, path: &[Option<u32>], value: Value) {
    match (path, target) {
        ([], target) => *target = value,
        ([Some(index), rest @ ..], Many(parts)) if (*index as usize) < parts.len() => set(&mut parts[*index as usize], rest, value),
        (_, target) => *target = Unknown,
    }
}

/// Part of a value, or the place of a part.
fn part(value: &Value, index: Option<u32>) -> Value {
    match (value, index) {
        (Pointer(place, path), index) => Pointer(*place, path.iter().copied().chain([index]).collect()),
        (Many(parts), Some(index)) => parts.get(index as usize).cloned().unwrap_or(Unknown),
        _ => Unknown,
    }
}

/// A function of scalars, for each component of vectors.
fn each(operands: &[Value], of: &dyn Fn(&[Value]) -> Value) -> Value {
    let count = operands.iter().filter_map(|operand| if let Many(parts) = operand { Some(parts.len()) } else { None }).max();
    match count {
        None => of(operands),
        Some(count) => {
            let component =
                |at: usize, operand: &Value| if let Many(_) = operand { part(operand, Some(at as u32)) } else { operand.clone() };
            Many((0..count).map(|at| of(&operands.iter().map(|operand| component(at, operand)).collect::<Vec<_>>())).collect())
        }
    }
}

fn binary(op: BinaryOperator, a: &Value, b: &Value) -> Value {
    use BinaryOperator::*;
    fn compared<T: PartialOrd>(op: BinaryOperator, a: T, b: T) -> Value {
        match op {
            Equal => Bool(a == b),
            NotEqual => Bool(a != b),
            Less => Bool(a < b),
            LessEqual => Bool(a <= b),
            Greater => Bool(a > b),
            GreaterEqual => Bool(a >= b),
            _ => Unknown,
        }
    }
    match (op, a, b) {
        (LogicalAnd | And, Bool(false), _) | (LogicalAnd | And, _, Bool(false)) => Bool(false),
        (LogicalOr | InclusiveOr, Bool(true), _) | (LogicalOr | InclusiveOr, _, Bool(true)) => Bool(true),
        (LogicalAnd | And, Bool(true), Bool(true)) => Bool(true),
        (LogicalOr | InclusiveOr, Bool(false), Bool(false)) => Bool(false),
        (_, Uint(a), Uint(b)) => match op {
            Add => Uint(a.wrapping_add(*b)),
            Subtract => Uint(a.wrapping_sub(*b)),
            Multiply => Uint(a.wrapping_mul(*b)),
            Divide => a.checked_div(*b).map_or(Unknown, Uint),
            Modulo => a.checked_rem(*b).map_or(Unknown, Uint),
            And => Uint(a & b),
            InclusiveOr => Uint(a | b),
            ExclusiveOr => Uint(a ^ b),
            ShiftLeft => Uint(a << (b & 31)),
            ShiftRight => Uint(a >> (b & 31)),
            _ => compared(op, a, b),
        },
        (ShiftLeft, Sint(a), Uint(b)) => Sint(a << (b & 31)),
        (ShiftRight, Sint(a), Uint(b)) => Sint(a >> (b & 31)),
        (_, Sint(a), Sint(b)) => match op {
            Add => Sint(a.wrapping_add(*b)),
            Subtract => Sint(a.wrapping_sub(*b)),
            Multiply => Sint(a.wrapping_mul(*b)),
            Divide => a.checked_div(*b).map_or(Unknown, Sint),
            Modulo => a.checked_rem(*b).map_or(Unknown, Sint),
            _ => compared(op, a, b),
        },
        (_, Float(a), Float(b)) => match op {
            Add => Float(a + b),
            Subtract => Float(a - b),
            Multiply => Float(a * b),
            Divide => Float(a / b),
            _ => compared(op, a, b),
        },
        _ => Unknown,
    }
}

/// The expressions that one is made of.
fn operands(expression: &Expression) -> Vec<Handle<Expression>> {
    match expression {
        Expression::Compose { components, .. } => components.clone(),
        Expression::Access { base, index } => vec![*base, *index],
        Expression::AccessIndex { base, .. } => vec![*base],
        Expression::Splat { value, .. } => vec![*value],
        Expression::Swizzle { vector, .. } => vec![*vector],
        Expression::Unary { expr, .. } | Expression::As { expr, .. } => vec![*expr],
        Expression::Binary { left, right, .. } => vec![*left, *right],
        Expression::Select { condition, accept, reject } => vec![*accept, *reject, *condition],
        Expression::Math { arg, arg1, arg2, arg3, .. } => [Some(*arg), *arg1, *arg2, *arg3].into_iter().flatten().collect(),
        _ => Vec::new(),
    }
}

/// Cells that are raced for in one workgroup, and the shader's barriers.
fn races(module: &Module, dispatch: &Dispatch, group: u32, without: Option<*const Statement>) -> (usize, Vec<*const Statement>) {
    let entry = &module.entry_points[0];
    let mut machine = Machine {
        module,
        params: Unknown,
        workgroups: grid(dispatch.workgroups),
        group,
        lane: 0,
        epoch: 0,
        without,
        barriers: Vec::new(),
        cells: HashMap::new(),
    };
    let uniform = module.global_variables.iter().find(|(_, variable)| variable.space == AddressSpace::Uniform);
    let mut bytes = dispatch.params.clone();
    bytes.resize(bytes.len() + 64, 0);
    machine.params = uniform.map_or(Unknown, |(_, variable)| machine.of_bytes(variable.ty, &bytes, 0));
    for lane in 0..entry.workgroup_size.into_iter().product() {
        (machine.lane, machine.epoch) = (lane, 0);
        let [x, y, z] = machine.workgroups;
        let group = Many(vec![Uint(machine.group % x), Uint(machine.group / x), Uint(0)]);
        let argument = |argument: &naga::FunctionArgument| match argument.binding {
            Some(naga::Binding::BuiltIn(BuiltIn::WorkGroupId)) => group.clone(),
            Some(naga::Binding::BuiltIn(BuiltIn::NumWorkGroups)) => Many([x, y, z].map(Uint).into()),
            Some(naga::Binding::BuiltIn(BuiltIn::LocalInvocationIndex)) => Uint(lane),
            ref other => panic!("{other:?}"),
        };
        let arguments = entry.function.arguments.iter().map(argument).collect();
        machine.call(&entry.function, arguments);
    }
    (machine.cells.values().filter(|cell| cell.is_raced()).count(), machine.barriers)
}

/// Some dispatches of every shader with workgroup memory that a GPU is given for a GhostNet and for
/// graphs of every operation.
fn dispatches() -> BTreeMap<PipelineKey, Vec<Dispatch>> {
    let mut found: BTreeMap<PipelineKey, Vec<Dispatch>> = BTreeMap::new();
    let network = Network::embedded().unwrap();
    let mut graphs = vec![(network.graph().clone(), Shape::new(2, 3, 32, 32), Form::Classify { k: 5 })];
    graphs.extend(net::SHAPES.map(|shape| (net::every_operation(shape.c), shape, Form::Tensors)));
    graphs.extend(net::squeeze_excites().into_iter().map(|(graph, shape)| (graph, shape, Form::Tensors)));
    for (graph, shape, form) in graphs {
        let graph = net::after_passes(graph, true);
        for precision in [Precision::F32, Precision::F16] {
            let options = net::options(DeviceClass::Gpu, Fusing::All, form.clone(), precision);
            let plan = Plan::new(&graph, &[shape], &options, &mut ConstantCache::new()).unwrap();
            for step in plan.steps {
                if step.dispatch.key.kernel.name() != "resize" && step.dispatch.key.source().contains("var<workgroup>") {
                    let of_key = found.entry(step.dispatch.key.clone()).or_default();
                    if of_key.len() < 3 && of_key.iter().all(|known: &Dispatch| known.params != step.dispatch.params) {
                        of_key.push(step.dispatch);
                    }
                }
            }
        }
    }
    found
}

/// Barriers that nothing here needs: a kernel, how many barriers its shader has, and which it is.
/// The last of `reduce_sums`, which other kernels need, is behind sums that one invocation reads.
/// In `softmax_top_k` a `workgroupUniformLoad` is a barrier already. The last of `squeeze_excite`
/// is for a second turn of a loop, which no plan here takes.
const IN_VAIN: [(&str, usize, usize); 5] =
    [("depthwise", 2, 1), ("linear", 2, 1), ("pool", 2, 1), ("softmax_top_k", 3, 1), ("squeeze_excite", 5, 4)];

#[test]
fn no_shader_races_and_none_has_a_barrier_in_vain() {
    // A barrier by its kernel, how many its shader has, and which it is.
    let mut needed: BTreeMap<(&str, usize, usize), bool> = BTreeMap::new();
    for (key, dispatches) in dispatches() {
        let source = key.source();
        let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{}: {}", key.file_name(), e.emit_to_string(&source)));
        for (number, dispatch) in dispatches.iter().enumerate() {
            let mut of_kernel = needed.iter().filter(|((kernel, ..), _)| *kernel == key.kernel.name());
            if number > 0 && of_kernel.all(|(barrier, needed)| *needed || IN_VAIN.contains(barrier)) {
                continue;
            }
            // The last workgroup's tile may be cut.
            for group in BTreeSet::from([0, dispatch.workgroups - 1]) {
                let (raced, barriers) = races(&module, dispatch, group, None);
                assert_eq!(raced, 0, "{}, workgroup {group}: cells that are raced for", key.file_name());
                for (at, barrier) in barriers.iter().enumerate() {
                    let is_needed = needed.entry((key.kernel.name(), barriers.len(), at)).or_default();
                    *is_needed = *is_needed || races(&module, dispatch, group, Some(*barrier)).0 > 0;
                }
            }
        }
    }
    let in_vain: Vec<_> = needed.iter().filter(|(_, needed)| !**needed).map(|(barrier, _)| *barrier).collect();
    println!("{} barriers", needed.len());
    assert_eq!(in_vain, IN_VAIN);
}
